// SPDX-License-Identifier: MIT
#include "tine/launch.h"

#include <cxxabi.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <typeinfo>

#include "child/after_fork.h"
#include "child/child_state.h"
#include "child/guardian.h"
#include "os/io.h"
#include "os/own_fds.h"
#include "os/pidfd.h"
#include "os/process_table.h"
#include "os/raw_syscall.h"
#include "os/signal_mask.h"
#include "os/system_error.h"

extern "C" {
/// Present when the program uses OpenMP: ends its idle threads, which do not survive a fork.
__attribute__((weak)) int omp_pause_resource_all(int kind);
__attribute__((weak)) void __tsan_init();
}

namespace tine::child {
namespace {

/// A page that both sides see: the child waits in it until the parent holds its pidfd, and a
/// detached child's pid comes back through it.
struct Handshake {
  std::atomic<std::uint32_t> go{0};
  std::atomic<pid_t> inner{0};
};

/// For what a detached child waits instead: an end of file, which comes when the parent holds its
/// pidfd, but also when the parent is gone. Empty for others.
using Gate = os::PipeEnds;

void wait_at(Gate& gate) noexcept {
  // Our copy of the other end has been closed with all that is the parent's.
  [[maybe_unused]] const int closed = gate.write.release();
  char nothing;
  [[maybe_unused]] const auto end = os::read_retry(gate.read.get(), &nothing, 1);
  gate.read.reset();
}

class SharedHandshake {
 public:
  SharedHandshake() noexcept
      : page_(::mmap(nullptr, sizeof(Handshake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                     -1, 0)) {
    if (page_ != MAP_FAILED) new (page_) Handshake;
  }
  ~SharedHandshake() {
    if (page_ != MAP_FAILED) ::munmap(page_, sizeof(Handshake));
  }
  SharedHandshake(const SharedHandshake&) = delete;
  SharedHandshake& operator=(const SharedHandshake&) = delete;
  [[nodiscard]] explicit operator bool() const noexcept { return page_ != MAP_FAILED; }
  Handshake* operator->() const noexcept { return static_cast<Handshake*>(page_); }

 private:
  void* page_;
};

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t while_value) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, while_value, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

/// How many threads this process has, without those that do no harm.
///
/// Source: the link count of /proc/self/task is their number + 2; about 2 us.
int thread_count() noexcept {
  struct stat task{};
  if (::stat("/proc/self/task", &task) != 0) return 1;
  const int sanitizers_own = __tsan_init != nullptr ? 1 : 0;
  return static_cast<int>(task.st_nlink) - 2 - sanitizers_own;
}

/// A thread that was joined a moment ago may still be counted: asks again for up to 5 ms.
bool single_threaded() noexcept {
  if (omp_pause_resource_all != nullptr) {
    constexpr int kHard = 2;  // omp_pause_hard
    omp_pause_resource_all(kHard);
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
  while (thread_count() > 1) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::sched_yield();
  }
  return true;
}

/// What stands in buffers now would be written by both sides. Never fflush(NULL): it waits for a
/// thread that is reading stdin.
void flush_standard_streams() noexcept {
  for (FILE* file : {stdout, stderr}) {
    if (::ftrylockfile(file) != 0) continue;
    ::fflush_unlocked(file);
    ::funlockfile(file);
  }
  try {
    std::cout.flush();
    std::clog.flush();
  } catch (...) {
    // An exception mask of the host's on a stream that is full: its own writes will tell it.
    return;
  }
}

void report_exception(const char* type, const char* text) noexcept {
  int status = 0;
  char* name = type == nullptr ? nullptr : abi::__cxa_demangle(type, nullptr, nullptr, &status);
  const char* shown = name != nullptr ? name : type != nullptr ? type : "unknown type";
  std::fprintf(stderr, "tine: uncaught exception in a child: %s%s%s\n", shown,
               text != nullptr ? ": " : "", text != nullptr ? text : "");
  std::free(name);  // NOLINT: __cxa_demangle allocates with malloc
}

constexpr int kUncaughtException = 70;  // EX_SOFTWARE of sysexits.h

int run_body(const std::function<int()>& body) noexcept {
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

void stdin_from_null() noexcept {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0) return;
  if (null != 0) {
    ::dup2(null, 0);
    ::close(null);
  } else {
    ::fcntl(0, F_SETFD, 0);
  }
}

/// In the child: from a copy of the parent to a process of its own.
[[noreturn]] void child_main(const LaunchOptions& options, const std::function<int()>& body,
                             GuardianSlot* slot, Handshake& handshake, Gate& gate, pid_t host) {
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
  forget_guardian_of_parent();
  os::close_own_fds();
  if (!options.name.empty()) ::prctl(PR_SET_NAME, options.name.c_str());
  if (!options.inherit_stdin) stdin_from_null();
  if (gate.read) wait_at(gate);
  while (slot != nullptr && handshake.go.load(std::memory_order_acquire) == 0) {
    futex_wait(handshake.go, 0);
  }
  sigset_t none;
  sigemptyset(&none);
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
pid_t fork_child(const LaunchOptions& options, const std::function<int()>& body, GuardianSlot* slot,
                 Handshake& handshake, Gate& gate) {
  flush_standard_streams();
  detail::lock_handles();
  const os::AllSignalsBlocked blocked;
  const pid_t host = ::getpid();
  const pid_t pid = ::fork();
  if (pid != 0) {
    const int saved = errno;
    detail::unlock_handles();
    errno = saved;
    return pid;
  }
  if (options.detach) {
    ::setsid();  // out of the host's group before launch() returns: that group may be killed then
    const pid_t inner = ::fork();
    if (inner != 0) {
      handshake.inner.store(inner < 0 ? -errno : inner, std::memory_order_release);
      ::_exit(0);
    }
  }
  child_main(options, body, slot, handshake, gate, host);
}

std::unexpected<Error> threads_refused() {
  Error error{ErrorKind::threads_running, 0, Stage::fork, "a function", {}};
  error.hint =
      std::to_string(thread_count()) +
      " threads are running, and a lock that one of them holds would be held for ever in the "
      "child: launch before starting threads, join them first, or set .threads = "
      "ThreadPolicy::allow if the function takes no such lock";
  return std::unexpected(std::move(error));
}

}  // namespace
}  // namespace tine::child

namespace tine::detail {

namespace {

void start_clock(ChildState& state, const LaunchOptions& options) {
  state.started = std::chrono::steady_clock::now();
  if (options.timeout.count() <= 0) return;
  state.deadline = os::deadline_after(options.timeout);
  if (state.seat.slot() != nullptr) {
    child::set_deadline(*state.seat.slot(), options.timeout, options.grace);
  }
}

/// The intermediate has ended by then, so the pid is there.
std::expected<pid_t, Error> detached_pid(pid_t intermediate, child::Handshake& handshake) {
  while (::waitpid(intermediate, nullptr, 0) < 0 && errno == EINTR) {
  }
  const pid_t inner = handshake.inner.load(std::memory_order_acquire);
  if (inner <= 0) return os::failed(Stage::fork, inner == 0 ? EAGAIN : -inner, "a function");
  return inner;
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
  const child::SharedHandshake handshake;
  if (!handshake) return os::failed(Stage::fork, errno, "a function");
  child::Gate gate;
  if (options.detach) {
    auto ends = os::make_pipe();
    if (!ends) return std::unexpected(ends.error());
    gate = std::move(*ends);
    os::note_own(gate.write.get());  // another thread's children must not hold it open
  }
  pid_t pid = child::fork_child(options, body, state->seat.slot(), *handshake.operator->(), gate);
  if (pid < 0) return os::failed(Stage::fork, errno, "a function");
  if (options.detach) {
    auto inner = detached_pid(pid, *handshake.operator->());
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
  handshake->go.store(1, std::memory_order_release);
  child::futex_wake(handshake->go);
  return ChildAccess::make(std::move(state));
}

}  // namespace tine::detail
