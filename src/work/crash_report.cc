// SPDX-License-Identifier: MIT
#include "work/crash_report.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "os/futex.h"
#include "os/io.h"
#include "os/pidfd.h"
#include "os/process_table.h"
#include "os/raw_syscall.h"
#include "os/system_error.h"
#include "os/young_child.h"

namespace tine::work {
namespace {

using namespace std::chrono_literals;
using os::as_word;
using os::raw_syscall;

/// Without handlers the question would kill: nobody asks before the child is ready.
enum ReportState : std::uint32_t { kNoHandlers, kReady, kWriting, kAnswered, kCrashed };

constexpr int kCrashSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

std::atomic_ref<std::uint32_t> state_of(CrashReport& report) noexcept {
  return std::atomic_ref(report.state);
}

void publish(CrashReport& report, ReportState state) noexcept {
  state_of(report).store(state, std::memory_order_release);
  os::futex_wake_all(&report.state);
}

// ---- In the child ----

/// Mapped once and never unmapped; the child writes to its own copy.
std::atomic<void*> alternate_stack{nullptr};

constexpr std::size_t kStackSize = std::size_t{128} << 10;

CrashReport* report_of_this_process = nullptr;
pid_t reporting_process = 0;

/// The thread that is writing the report; one that crashes never gives it back.
std::uint32_t writer = 0;

/// Where to go on when the walk over the stack faults itself.
sigjmp_buf after_walk;
volatile sig_atomic_t walking = 0;

std::uint32_t own_thread() noexcept { return static_cast<std::uint32_t>(raw_syscall(SYS_gettid)); }

#if defined(__x86_64__)

std::uintptr_t program_counter(const ucontext_t& context) noexcept {
  return static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RIP]);
}

/// Undoes a call, of which nothing but the return address has been pushed. Faults when the stack
/// pointer is wrong.
void return_to_caller(ucontext_t& context) noexcept {
  auto& registers = context.uc_mcontext.gregs;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): what a register holds is a number
  registers[REG_RIP] = *reinterpret_cast<const greg_t*>(registers[REG_RSP]) - 1;
  registers[REG_RSP] += 8;
}

#elif defined(__aarch64__)

std::uintptr_t program_counter(const ucontext_t& context) noexcept {
  return context.uc_mcontext.pc;
}

void return_to_caller(ucontext_t& context) noexcept {
  constexpr int kLinkRegister = 30;
  context.uc_mcontext.pc = context.uc_mcontext.regs[kLinkRegister] - 1;
}

#endif

struct Walk {
  CrashReport& report;
  std::uintptr_t start;  ///< where the walk meets the interrupted code
  bool start_is_in;      ///< the report holds that frame already
  int frames_of_handler = 0;
  bool started = false;
};

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* argument) noexcept {
  Walk& walk = *static_cast<Walk*>(argument);
  int is_interrupted = 0;
  const std::uintptr_t next = _Unwind_GetIPInfo(context, &is_interrupted);
  if (!walk.started) {
    constexpr int kMostOfHandler = 16;
    walk.started = next == walk.start;
    if (!walk.started) {
      return ++walk.frames_of_handler < kMostOfHandler ? _URC_NO_REASON : _URC_NORMAL_STOP;
    }
    if (walk.start_is_in) return _URC_NO_REASON;
  }
  if (next == 0) return _URC_NORMAL_STOP;  // nobody called the outermost function
  CrashReport& report = walk.report;
  // A return address may be the first of another function, when a call never returns.
  report.frames[report.count++] = is_interrupted != 0 ? next : next - 1;
  return report.count < kMostFrames ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

/// A call through a pointer that leads to no code: there is nothing to unwind at such a place, but
/// its caller is known.
bool fetched_no_code(const siginfo_t& info, std::uintptr_t at) noexcept {
  return (info.si_signo == SIGSEGV || info.si_signo == SIGBUS) && info.si_code > 0 &&
         reinterpret_cast<std::uintptr_t>(info.si_addr) == at;
}

/// Adds the callers of the interrupted code, as many as can be found: with a stack that has been
/// overwritten the unwinder faults (or calls abort), and what it has found until then remains.
void add_callers(CrashReport& report, const siginfo_t& info, ucontext_t& context) noexcept {
  const mcontext_t untouched = context.uc_mcontext;
  if (sigsetjmp(after_walk, 0) == 0) {
    walking = 1;
    const bool nowhere = fetched_no_code(info, program_counter(context));
    // The unwinder takes the registers from there.
    if (nowhere) return_to_caller(context);
    Walk walk{.report = report, .start = program_counter(context), .start_is_in = !nowhere};
    _Unwind_Backtrace(&note_frame, &walk);
  }
  walking = 0;
  context.uc_mcontext = untouched;  // as a debugger will want it in a core
}

bool has_address(const siginfo_t& info) noexcept {
  switch (info.si_signo) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
    case SIGSYS: return info.si_code > 0;  // else a process has sent it
    default: return false;
  }
}

void write_report(CrashReport& report, const siginfo_t& info, ucontext_t& context) noexcept {
  const bool asked = info.si_signo == kWhereSignal;
  state_of(report).exchange(kWriting, std::memory_order_acquire);  // before all that follows
  report.signal = info.si_signo;
  report.code = info.si_code;
  report.thread = static_cast<std::int32_t>(own_thread());
  report.fault_address =
      has_address(info) ? reinterpret_cast<std::uintptr_t>(info.si_addr) : std::uintptr_t{0};
  report.frames[0] = program_counter(context);
  report.count = 1;
  // Before the walk, which may be this process's last act.
  if (!asked) publish(report, kCrashed);
  add_callers(report, info, context);
  if (asked) publish(report, kAnswered);
}

/// Whether this thread may write the report. A crash waits for an answer that another thread is
/// just writing; when that one crashes, the process ends meanwhile.
bool claim_report(bool asked) noexcept {
  const std::uint32_t self = own_thread();
  const auto deadline = std::chrono::steady_clock::now() + 1s;
  for (std::uint32_t other = 0; !std::atomic_ref(writer).compare_exchange_strong(other, self);
       other = 0) {
    if (asked || other == self || !os::futex_wait_until(&writer, other, deadline)) return false;
  }
  return true;
}

void release_report() noexcept {
  std::atomic_ref(writer).store(0, std::memory_order_release);
  os::futex_wake_all(&writer);
}

/// Whether this signal is the walk's own fault. What another process sends is not.
bool is_fault_of_walk(const siginfo_t& info) noexcept {
  return walking != 0 && std::atomic_ref(writer).load(std::memory_order_relaxed) == own_thread() &&
         (info.si_code > 0 || info.si_pid == raw_syscall(SYS_getpid));
}

/// With what the kernel said about it, for whoever reads the core.
void die_of(siginfo_t& info) noexcept {
  const int number = info.si_signo;
  ::signal(number, SIG_DFL);
  const long process = raw_syscall(SYS_getpid);
  const long thread = raw_syscall(SYS_gettid);
  if (os::raw_failed(raw_syscall(SYS_rt_tgsigqueueinfo, process, thread, number, as_word(&info)))) {
    raw_syscall(SYS_tgkill, process, thread, number);
  }
  sigset_t just_this;
  sigemptyset(&just_this);
  sigaddset(&just_this, number);
  ::sigprocmask(SIG_UNBLOCK, &just_this, nullptr);
  // Reached by PID 1 of a namespace alone: it faults again where it did.
}

void on_signal(int number, siginfo_t* info, void* context) noexcept {
  const int errno_of_interrupted = errno;
  if (is_fault_of_walk(*info)) ::siglongjmp(after_walk, 1);
  const bool asked = number == kWhereSignal;
  // A process that the child has forked is not who the report is about.
  if (raw_syscall(SYS_getpid) == reporting_process && claim_report(asked)) {
    write_report(*report_of_this_process, *info, *static_cast<ucontext_t*>(context));
    if (asked) release_report();
  }
  if (!asked) die_of(*info);
  errno = errno_of_interrupted;
}

/// All signals wait while a report is written, but those of a fault in the walk.
TINE_YOUNG_CHILD sigset_t mask_of_handlers() noexcept {
  sigset_t mask;
  sigfillset(&mask);
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) sigdelset(&mask, fault);
  return mask;
}

/// Not 0: with a limit of 1 the kernel does not even start the program that /proc/sys/kernel/
/// core_pattern may name. Not PR_SET_DUMPABLE: that hides /proc/PID from the parent.
/// Source: fs/coredump.c, "RLIMIT_CORE of 1"
TINE_YOUNG_CHILD void limit_core_dumps() noexcept {
  rlimit limit{};
  if (raw_syscall(SYS_prlimit64, 0, RLIMIT_CORE, 0, as_word(&limit)) != 0) return;
  if (limit.rlim_cur == 1) return;
  limit.rlim_cur = std::min<rlim_t>(1, limit.rlim_max);
  raw_syscall(SYS_prlimit64, 0, RLIMIT_CORE, as_word(&limit));
}

// ---- In the parent ----

/// To the end, by the function that the handler will need.
_Unwind_Reason_Code pass_frame(_Unwind_Context* context, void*) noexcept {
  int is_interrupted = 0;
  return _Unwind_GetIPInfo(context, &is_interrupted) != 0 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

/// With a page below it that faults, should a handler need more.
void* map_alternate_stack() noexcept {
  const auto guard = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const mapped = ::mmap(nullptr, guard + kStackSize, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  ::mprotect(mapped, guard, PROT_NONE);
  return static_cast<std::byte*>(mapped) + guard;
}

void unmap_alternate_stack(void* stack) noexcept {
  const auto guard = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  ::munmap(static_cast<std::byte*>(stack) - guard, guard + kStackSize);
}

/// What lies in no module of ours is left out.
void translate(RawBacktrace& backtrace, const ModuleMap& from) noexcept {
  const Translation translation(from);
  std::size_t kept = 0;
  for (const std::uintptr_t address : backtrace.addresses()) {
    const std::uintptr_t here = translation.here(address);
    if (here != 0) backtrace.frames[kept++] = here;
  }
  backtrace.count = kept;
}

/// Each number is read once and then kept within its bounds: a child may go on writing.
RawBacktrace copy_of(CrashReport& report) noexcept {
  const auto read = [](auto& value) {
    return std::atomic_ref(value).load(std::memory_order_acquire);
  };
  RawBacktrace copy;
  copy.signal = read(report.signal);
  copy.code = read(report.code);
  copy.thread = read(report.thread);
  copy.fault_address = read(report.fault_address);
  copy.count = std::min<std::size_t>(read(report.count), kMostFrames);
  for (std::size_t i = 0; i < copy.count; ++i) copy.frames[i] = read(report.frames[i]);
  if (read(report.modules.count) != 0) translate(copy, report.modules);
  return copy;
}

std::string waiting_place(pid_t pid) {
  std::string place;
  // Forbidden, or a kernel without names: 0.
  if (os::read_file(("/proc/" + std::to_string(pid) + "/wchan").c_str(), place) != 0) place.clear();
  return place.empty() || place == "0" ? "it waits" : "it waits in '" + place + "'";
}

std::string state_text(pid_t pid) {
  os::ProcessEntry entry;
  if (!os::read_stat(pid, entry)) return "its state is unknown";
  switch (entry.state) {
    case 'R': return "it is running";
    case 'S': return waiting_place(pid);
    case 'D': return waiting_place(pid) + " without letting signals in";
    case 'T': return "it is stopped";
    case 't': return "it is being traced";
    case 'Z':
    case 'X': return "it has ended";
    default: return std::string("its state is ") + entry.state;
  }
}

}  // namespace

void prepare_crash_reports() noexcept {
  if (alternate_stack.load(std::memory_order_relaxed) != nullptr) return;
  // Its first use allocates, and binds symbols.
  _Unwind_Backtrace(&pass_frame, nullptr);
  void* const stack = map_alternate_stack();
  void* nobodys = nullptr;
  if (stack != nullptr && !alternate_stack.compare_exchange_strong(nobodys, stack)) {
    unmap_alternate_stack(stack);
  }
}

TINE_YOUNG_CHILD void install_crash_handlers(CrashReport& report, CoreDump core) noexcept {
  report_of_this_process = &report;
  reporting_process = ::getpid();
  writer = 0;
  if (void* const stack = alternate_stack.load(std::memory_order_relaxed); stack != nullptr) {
    const stack_t alternate{.ss_sp = stack, .ss_flags = 0, .ss_size = kStackSize};
    ::sigaltstack(&alternate, nullptr);
  }
  struct sigaction action{};
  action.sa_sigaction = &on_signal;
  action.sa_mask = mask_of_handlers();
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
  for (const int number : kCrashSignals) ::sigaction(number, &action, nullptr);
  ::sigaction(kWhereSignal, &action, nullptr);
  if (core == CoreDump::no) limit_core_dumps();
  state_of(report).store(kReady, std::memory_order_release);
}

std::optional<RawBacktrace> read_crash(CrashReport& report) noexcept {
  if (state_of(report).load(std::memory_order_acquire) != kCrashed) return std::nullopt;
  return copy_of(report);
}

std::optional<RawBacktrace> ask_where(int pidfd, CrashReport& report,
                                      std::chrono::milliseconds limit) noexcept {
  const auto state = state_of(report);
  std::uint32_t seen = kAnswered;  // to an earlier question
  state.compare_exchange_strong(seen, kReady);
  if (seen == kNoHandlers) return std::nullopt;
  // A zombie takes signals, too.
  if (os::poll_pidfd(pidfd, -1, std::chrono::steady_clock::now()) == os::PidfdWait::ended)
    return std::nullopt;
  if (os::send_signal(pidfd, kWhereSignal) != 0) return std::nullopt;
  const auto deadline = os::deadline_after(limit);
  while ((seen = state.load(std::memory_order_acquire)) != kAnswered) {
    if (seen == kCrashed || !os::futex_wait_until(&report.state, seen, deadline)) {
      return std::nullopt;
    }
  }
  const RawBacktrace answer = copy_of(report);
  const bool whole = state.load(std::memory_order_acquire) == kAnswered;
  return whole ? std::optional(answer) : std::nullopt;
}

std::string no_answer_text(pid_t pid, std::chrono::milliseconds limit) {
  return "no answer within " + os::duration_text(limit) + "; " + state_text(pid);
}

}  // namespace tine::work
