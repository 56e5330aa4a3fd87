// SPDX-License-Identifier: MIT

/// What goes wrong with a bare fork, provoked, and what becomes of it here: it is refused, healed
/// or reported.
///
/// Python:  threading.Thread(target=work).start(); os.fork()   # DeprecationWarning, since 3.12
///
/// Run with a word it plays one scene of itself, for its own children.

#include <fcntl.h>
#include <sys/wait.h>
#include <tine/tine.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

using namespace tine::literals;
using tine::throwing::value;

namespace {

/// A thread that holds a lock for as long as this lives.
template <class Mutex>
class Holder {
 public:
  explicit Holder(Mutex& mutex)
      : thread_([this, &mutex] {
          const std::lock_guard lock(mutex);
          held_.count_down();
          release_.wait();
        }) {
    held_.wait();
  }
  ~Holder() { release_.count_down(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  std::latch held_{1};
  std::latch release_{1};
  std::jthread thread_;
};

void threads() {
  std::mutex mutex;
  const Holder holder(mutex);
  std::printf("threads are not copied:\n");

  const auto refused = tine::launch([] {});
  std::printf("  refused: %s\n",
              !refused && refused.error().kind == tine::ErrorKind::threads_running
                  ? "threads_running"
                  : "no");
  const auto count = [] { return value(tine::process_info(::getpid())).threads; };
  std::printf("  threads here: %d, in a child that was allowed: %d\n", static_cast<int>(count()),
              static_cast<int>(value(tine::call({.threads = tine::ThreadPolicy::allow}, count))));
}

/// Where a child hangs that locks it. On a busy machine a child may have no time to answer before
/// it is killed; then another one is asked.
std::string place_of_the_hang(std::mutex& mutex) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto stuck = tine::call({.timeout = 300ms, .threads = tine::ThreadPolicy::allow},
                                  [&] { const std::lock_guard lock(mutex); });
    if (stuck || stuck.error().cause != tine::Cause::timed_out) return "no hang";
    const std::string& where = stuck.error().backtrace;
    if (where.find("pthread_mutex_lock") != where.npos) return "pthread_mutex_lock";
  }
  return "no place";
}

void lock_held() {
  std::printf("a lock is held by a thread that the child does not have:\n");
  std::mutex plain;
  const Holder plain_holder(plain);
  std::printf("  std::mutex, reported: timed out in %s\n", place_of_the_hang(plain).c_str());

  tine::ForkMutex aware;
  const Holder holder(aware);
  const bool abandoned = value(tine::call({.threads = tine::ThreadPolicy::allow}, [&] {
    const std::lock_guard lock(aware);
    return aware.was_abandoned();
  }));
  std::printf("  tine::ForkMutex, healed: the child has it, %s\n",
              abandoned ? "and knows that the data may be half changed" : "and knows nothing");
}

/// For a child of ours: a word waits in the buffer of stdout when it forks.
int say_and_fork(bool bare) {
  std::printf("once ");
  if (!bare) return value(tine::launch([] {})).wait() ? 0 : 1;
  if (::fork() == 0) std::exit(0);
  return ::wait(nullptr) > 0 ? 0 : 1;
}

void buffers(const std::string& self) {
  std::printf("what stands in stdout's buffer is written by both:\n");
  std::printf("  fork: %s\n", value(tine::read({self, "bare"})).c_str());
  std::printf("  launch, healed: %s\n", value(tine::read({self, "launched"})).c_str());
}

void descriptors() {
  constexpr int kNumber = 99;
  std::printf("a descriptor without CLOEXEC leaks into every program:\n");
  if (::dup2(STDERR_FILENO, kNumber) < 0) throw std::runtime_error("dup2");
  const auto verdict = [](bool open) { return open ? "open" : "closed"; };
  const int leaked = std::system("test -e /proc/self/fd/99");  // NOLINT: the flaw is shown
  const auto healed =
      value(tine::Command{"test", "-e", "/proc/self/fd/99"}.unchecked().run()).status.success();
  std::printf("  system: %s\n  Command, healed: %s\n", verdict(leaked == 0), verdict(healed));
  ::close(kNumber);
}

void secrets() {
  std::printf("a child has all secrets of its parent:\n");
  const std::string password = "sesame";
  auto key = value(tine::WipeOnFork<std::array<char, 7>>::create());
  password.copy(key->data(), key->size());
  std::printf("  std::string: %s\n", value(tine::call([&] { return password; })).c_str());
  std::printf("  tine::WipeOnFork, healed: '%s'; here it is still '%s'\n",
              value(tine::call([&] { return std::string(key->data()); })).c_str(), key->data());
}

void handles() {
  std::printf("a library takes what it made before the fork for its own:\n");
  auto sleeper = value(tine::Command{"sleep", 1000}.start());
  const auto said = value(tine::call([&] {
    const auto sent = sleeper.send(tine::Signal::kill);
    return sent ? "killed its sibling" : sent.error().to_string();
  }));
  std::printf("  a Child handle in another process, refused: %s\n",
              said.substr(said.rfind(": ") + 2).c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc > 1) return say_and_fork(argv[1] == std::string("bare"));
  threads();
  lock_held();
  buffers(argv[0]);
  descriptors();
  secrets();
  handles();
  std::printf("a generator of random numbers repeats itself: see independent_random\n");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
