// SPDX-License-Identifier: MIT
#include "tine/launch.h"

#include <cxxabi.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <ext/stdio_sync_filebuf.h>
#include <iostream>
#include <new>
#include <string>
#include <typeinfo>

#include "child/after_fork.h"
#include "child/child_state.h"
#include "child/guardian.h"
#include "child/proxy.h"
#include "os/demangle.h"
#include "os/fork_generation.h"
#include "os/futex.h"
#include "os/io.h"
#include "os/null_device.h"
#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/raw_fd.h"
#include "os/signal_mask.h"
#include "os/system_error.h"
#include "os/young_child.h"

extern "C" {
/// Present when the program uses OpenMP: ends its idle threads, which do not survive a fork.
__attribute__((weak)) int omp_pause_resource_all(int kind);
__attribute__((weak)) void __tsan_init();
}

namespace tine::child {
namespace {

/// What a detached child and its maker tell each other.
struct DetachPipes {
  /// The child waits for its end of file, which comes when the parent holds its pidfd, but also
  /// when the parent is gone.
  os::PipeEnds gate;
  os::PipeEnds pid;  ///< through which the intermediate tells it, or a negated errno
};

std::expected<DetachPipes, Error> make_detach_pipes() {
  DetachPipes pipes;
  for (os::PipeEnds* ends : {&pipes.gate, &pipes.pid}) {
    auto made = os::make_pipe();
    if (!made) return std::unexpected(made.error());
    *ends = std::move(*made);
    os::note_own(ends->write.get());  // another thread's children must not hold it open
  }
  return pipes;
}

/// In the child, whose copies of the writing ends have been closed with all that is the parent's.
/// False: the end of file came without a word.
bool wait_at(const Fd& gate) noexcept {
  char word;
  const bool told = os::read_retry(gate.get(), &word, 1) == 1;
  ::close(gate.get());
  return told;
}

/// What a child is besides a copy of its parent.
struct Birth {
  GuardianSlot* slot = nullptr;      ///< none: it is detached, or another process's
  DetachPipes* detach = nullptr;     ///< of a detached one
  const Fd* gate_of_host = nullptr;  ///< of another process's: see proxy.h
  int null = -1;                     ///< what it has as stdin, unless it keeps its parent's
};

/// How many threads this process has, without those that do no harm.
///
/// Source: the link count of /proc/self/task is their number + 2; about 2 us.
int thread_count() noexcept {
  struct stat task{};
  if (::stat("/proc/self/task", &task) != 0) return 1;
  const int sanitizers_own = __tsan_init != nullptr ? 1 : 0;
  return static_cast<int>(task.st_nlink) - 2 - sanitizers_own;
}

/// It has made none in this process: then there is nothing to count, but for threads that somebody
/// has made by a bare clone(2). Source: <sys/single_threaded.h>, glibc 2.32
bool libc_knows_of_no_other() noexcept {
#if __has_include(<sys/single_threaded.h>)
  return __libc_single_threaded != 0;
#else
  return false;
#endif
}

}  // namespace

bool single_threaded() noexcept {
  if (omp_pause_resource_all != nullptr) {
    constexpr int kHard = 2;  // omp_pause_hard
    omp_pause_resource_all(kHard);
  }
  if (libc_knows_of_no_other()) return true;
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
  while (thread_count() > 1) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::sched_yield();
  }
  return true;
}

namespace {

/// Whether it has no buffer of its own, but writes to a FILE at once. The usual answer comes
/// without dynamic_cast, which would be page faults in each child.
TINE_YOUNG_CHILD bool shares_stdio(const std::ostream& stream) noexcept {
  using Sharing = __gnu_cxx::stdio_sync_filebuf<char>;
  const std::streambuf* const buffer = stream.rdbuf();
  if (buffer == nullptr) return false;
  return typeid(*buffer) == typeid(Sharing) || dynamic_cast<const Sharing*>(buffer) != nullptr;
}

/// What stands in buffers now would be written by both sides. Never fflush(NULL): it waits for a
/// thread that is reading stdin. Where nothing stands there nothing is touched: in a child each
/// page of libc that is written is copied first.
TINE_YOUNG_CHILD void flush_standard_streams() noexcept {
  try {
    for (std::ostream* stream : {&std::cout, &std::clog}) {
      if (!shares_stdio(*stream)) stream->flush();
    }
  } catch (...) {
    // An exception mask of the host's on a stream that is full: its own writes will tell it. What
    // was left of it is for the child to write, or not.
  }
  for (FILE* file : {stdout, stderr}) {
    if (::__fpending(file) == 0 || ::ftrylockfile(file) != 0) continue;
    ::fflush_unlocked(file);
    ::funlockfile(file);
  }
}

/// Here memory may be used: the child runs C++ anyway. Where there is none left, the name stays as
/// the compiler writes it.
void report_exception(const char* type, const char* text) noexcept {
  std::string name;
  try {
    if (type != nullptr) name = os::demangled(type);
  } catch (const std::bad_alloc&) {
  }
  const char* raw = type != nullptr ? type : "unknown type";
  std::fprintf(stderr, "tine: uncaught exception in a child: %s%s%s\n",
               name.empty() ? raw : name.c_str(), text != nullptr ? ": " : "",
               text != nullptr ? text : "");
}

constexpr int kUncaughtException = 70;  // EX_SOFTWARE of sysexits.h

TINE_YOUNG_CHILD int run_body(const std::function<int()>& body) noexcept {
  try {
    const int code = body();
    return code >= 0 && code <= 255 ? code : 255;  // 256 must not pass for success
  } catch (const std::exception& e) {
    report_exception(typeid(e).name(), e.what());
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    report_exception(type != nullptr ? type->name() : nullptr, nullptr);
  }
  return kUncaughtException;
}

bool copied_to_stdin(int null) noexcept {
  return null >= 0 && os::copy_raw(null, STDIN_FILENO) >= 0;
}

/// When the parent had no descriptor for it. Better no stdin than the parent's.
void stdin_from_null() noexcept {
  os::close_raw(STDIN_FILENO);
  const int opened = os::open_raw("/dev/null", O_RDONLY);
  if (opened == STDIN_FILENO) {
    ::fcntl(STDIN_FILENO, F_SETFD, 0);
  } else if (opened >= 0) {
    os::copy_raw(opened, STDIN_FILENO);
    os::close_raw(opened);
  }
}

/// In the child: from a copy of the parent to a process of its own.
TINE_YOUNG_CHILD [[noreturn]] void child_main(const LaunchOptions& options,
                                              const std::function<int()>& body, const Birth& birth,
                                              pid_t host) {
  GuardianSlot* const slot = birth.slot;
  if (slot != nullptr) {
    slot->pid.store(::getpid(), std::memory_order_release);
    // A host that died before that: the guardian may have looked already, and nobody would come.
    // 0 is a living parent outside of this pid namespace.
    if (const pid_t parent = ::getppid(); parent != host && parent != 0) ::_exit(0);
  }
  options.detach ? ::setsid() : ::setpgid(0, 0);
  reset_signal_handlers();
  detail::close_inherited_handles();
  detail::unlock_handles();
  const bool has_stdin = options.inherit_stdin || copied_to_stdin(birth.null);
  // Some of these numbers have been closed above: nothing may be opened in between.
  os::close_own_fds();
  if (!has_stdin) stdin_from_null();
  if (!options.name.empty()) ::prctl(PR_SET_NAME, options.name.c_str());
  // As late as can be: by now the parent is through, as a rule, and there is nothing to wait for.
  while (slot != nullptr && slot->go.load(std::memory_order_acquire) == 0)
    os::futex_wait(&slot->go, 0);
  forget_guardian_of_parent();  // and with it the slot
  if (birth.detach != nullptr) wait_at(birth.detach->gate.read);
  if (birth.gate_of_host != nullptr && !wait_at(*birth.gate_of_host)) ::_exit(0);
  constexpr sigset_t none{};  // empty; a function of libc for that would be a page fault here
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // exit() inside the function: the handlers and static objects are the parent's.
  ::on_exit(
      [](int code, void*) {
        flush_standard_streams();
        ::_exit(code);
      },
      nullptr);
  const int code = run_body(body);
  flush_standard_streams();
  ::_exit(code);
}

/// Forks; gives the pid to the parent and does not return in the child.
TINE_YOUNG_CHILD pid_t fork_child(const LaunchOptions& options, const std::function<int()>& body,
                                  Birth birth) {
  flush_standard_streams();
  detail::lock_handles();
  if (!options.inherit_stdin) birth.null = os::null_device();
  const os::AllSignalsBlocked blocked;
  [[maybe_unused]] const auto generation = os::fork_generation();  // or each child maps its page
  const pid_t host = ::getpid();
  const pid_t pid = ::fork();
  if (pid != 0) {
    detail::unlock_handles();
    return pid;
  }
  if (birth.detach != nullptr) {
    ::setsid();  // out of the host's group before launch() returns: that group may be killed then
    const pid_t inner = ::fork();
    if (inner != 0) {
      const pid_t told = inner < 0 ? -errno : inner;
      // When this fails the parent sees the end of file.
      [[maybe_unused]] const auto written =
          ::write(birth.detach->pid.write.get(), &told, sizeof told);
      ::_exit(0);
    }
  }
  child_main(options, body, birth, host);
}

std::unexpected<Error> threads_refused() {
  Error error{ErrorKind::threads_running, 0, Stage::fork, "a function", {}};
  error.hint =
      std::to_string(thread_count()) +
      " threads are running, and a lock that one of them holds would be held for ever in the "
      "child: launch before starting threads, join them first, or set .threads = "
      "ThreadPolicy::allow if the function takes no such lock; calls and pools of functions "
      "without captures can have .start = StartMethod::fork_server or spawn";
  return std::unexpected(std::move(error));
}

}  // namespace

std::expected<Child, Error> launch_for_host(const LaunchOptions& options, Fd gate,
                                            const std::function<int()>& body) {
  auto state = std::make_unique<detail::ChildState>();
  state->leave_descendants = options.leave_descendants;
  const pid_t pid = fork_child(options, body, {.gate_of_host = gate ? &gate : nullptr});
  if (pid < 0) return os::failed(Stage::fork, errno, "a function");
  ::setpgid(pid, pid);
  state->pid = state->group = pid;
  state->started = std::chrono::steady_clock::now();
  state->pidfd = os::open_pidfd(pid);
  if (state->pidfd) return detail::ChildAccess::make(std::move(state));
  const int error = errno;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return os::failed(Stage::fork, error, "a function");
}

}  // namespace tine::child

namespace tine::detail {

namespace {

void start_clock(ChildState& state, const LaunchOptions& options) {
  state.started = std::chrono::steady_clock::now();
  if (options.timeout.count() <= 0) return;
  state.deadline = os::deadline_after(options.timeout);
  state.seat.set_deadline(options.timeout, options.grace);
}

std::expected<pid_t, Error> detached_pid(pid_t intermediate, child::DetachPipes& pipes) {
  pipes.pid.write.reset();
  pid_t inner = 0;
  const auto got = os::read_retry(pipes.pid.read.get(), &inner, sizeof inner);
  while (::waitpid(intermediate, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (got == sizeof inner && inner > 0) return inner;
  return os::failed(Stage::fork, inner < 0 ? -inner : EAGAIN, "a function");
}

}  // namespace

std::expected<Child, Error> launch_body(const LaunchOptions& options,
                                        const std::function<int()>& body) {
  if (options.threads == ThreadPolicy::refuse && !child::single_threaded()) {
    return child::threads_refused();
  }
  auto state = std::make_unique<ChildState>();
  state->detached = options.detach;
  state->grace = options.grace;
  state->leave_descendants = options.leave_descendants;
  if (!options.detach) {
    auto seat = child::reserve_guardian_seat();
    if (!seat) return std::unexpected(seat.error());
    state->seat = std::move(*seat);
    state->seat.slot()->group.store(-1);
  }
  child::DetachPipes pipes;
  if (options.detach) {
    auto made = child::make_detach_pipes();
    if (!made) return std::unexpected(made.error());
    pipes = std::move(*made);
  }
  pid_t pid = child::fork_child(
      options, body, {.slot = state->seat.slot(), .detach = options.detach ? &pipes : nullptr});
  if (pid < 0) return os::failed(Stage::fork, errno, "a function");
  if (options.detach) {
    auto inner = detached_pid(pid, pipes);
    if (!inner) return std::unexpected(inner.error());
    pid = *inner;
  } else {
    ::setpgid(pid, pid);  // whichever side is first; the other one's failure is no news
  }
  state->pid = pid;
  // In a new pid namespace the child knows itself by another number than the guardian would.
  if (state->seat.slot() != nullptr) state->seat.slot()->pid.store(pid);
  state->seat.child_started();
  state->group = pid;
  state->pidfd = os::open_pidfd(pid);
  const int pidfd_errno = errno;
  if (!state->pidfd) {
    // Without a name for it nobody could end it: it has not run anything of the user's yet.
    if (!options.detach) {
      ::kill(pid, SIGKILL);
      while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    return os::failed(Stage::fork, pidfd_errno, "a function");
  }
  start_clock(*state, options);
  if (child::GuardianSlot* slot = state->seat.slot()) {
    slot->go.store(1, std::memory_order_release);
    os::futex_wake_all(&slot->go);
  }
  return ChildAccess::make(std::move(state));
}

}  // namespace tine::detail
