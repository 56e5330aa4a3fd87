// SPDX-License-Identifier: MIT
#include "cli/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "cli/signals.h"
#include "cli/tally.h"
#include "tine/exit_status.h"
#include "tine/process.h"

namespace tine::cli {

namespace {

int own_failure(const char* what) {
  std::fprintf(stderr, "tine: cannot start: %s: %s\n", what, std::strerror(errno));
  return kOwnFailure;
}

/// Descriptors are what limits the number of jobs: takes all that are allowed.
rlimit raise_file_limit() {
  rlimit original{};
  ::getrlimit(RLIMIT_NOFILE, &original);
  const rlimit all{original.rlim_max, original.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &all);
  return original;
}

class Supervisor {
 public:
  Supervisor(pid_t runner, Fd signals) : runner_(runner), signals_(std::move(signals)) {}

  int run() {
    for (;;) {
      pollfd watched{signals_.get(), POLLIN, 0};
      if (::poll(&watched, 1, -1) < 0 && errno != EINTR) return own_failure("poll");
      signalfd_siginfo info{};
      if (::read(signals_.get(), &info, sizeof info) != sizeof info) continue;
      if (info.ssi_signo != SIGCHLD) {
        pass_on(info);
      } else if (const auto ended = reap()) {
        return end_like(*ended);
      }
    }
  }

 private:
  void pass_on(const signalfd_siginfo& info) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGINT || signal == SIGTERM) ending_ = true;
    // What is typed at the terminal goes to the whole group: the runner has it already. A hangup
    // may go to the leader of the session alone.
    if (info.ssi_code == SI_KERNEL && signal != SIGHUP) return;
    ::kill(runner_, signal);
  }

  /// Reaps adopted orphans as well; gives the runner's status when it has ended.
  std::optional<ExitStatus> reap() {
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
      if (pid != runner_) continue;
      if (!WIFSTOPPED(status)) return ExitStatus::from_wait_status(status);
      // It has stopped its jobs and then itself. When we go on, so does it.
      ::raise(SIGSTOP);
      ::kill(runner_, SIGCONT);
    }
    return std::nullopt;
  }

  int end_like(ExitStatus ended) {
    // What jobs left behind lives on after a run that ended by itself.
    if (ending_ || !ended.code()) kill_descendants();
    if (const auto code = ended.code()) return *code;
    const int signal = *ended.signal();
    if (signal == SIGINT) die_by(signal);  // as the runner did: a shell loop around us stops on ^C
    std::fprintf(stderr, "tine: the runner was %s; all of its jobs have been ended\n",
                 ended.to_string().c_str());
    return kOwnFailure;
  }

  pid_t runner_;
  Fd signals_;
  bool ending_ = false;  ///< INT or TERM has come
};

[[noreturn]] void run_child(const std::function<int(RunnerSetting)>& runner,
                            RunnerSetting setting) {
  const int code = runner(std::move(setting));
  std::fflush(nullptr);
  ::_exit(code);
}

}  // namespace

int supervise(const std::function<int(RunnerSetting)>& runner) {
  RunnerSetting setting{.files = raise_file_limit()};
  const sigset_t mask = block_signals();
  ::signal(SIGCHLD, SIG_DFL);  // ignored by whoever started us, it would never arrive
  ::signal(SIGPIPE, SIG_IGN);  // a write that is refused says so itself
  ::signal(SIGXFSZ, SIG_IGN);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  setting.supervisor.reset(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!setting.supervisor) return own_failure("pidfd_open");
  Fd signals{::signalfd(-1, &mask, SFD_CLOEXEC)};
  if (!signals) return own_failure("signalfd");
  const pid_t pid = ::fork();
  if (pid < 0) return own_failure("fork");
  if (pid == 0) {
    signals.reset();
    run_child(runner, std::move(setting));
  }
  setting.supervisor.reset();
  return Supervisor(pid, std::move(signals)).run();
}

}  // namespace tine::cli
