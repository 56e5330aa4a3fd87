// SPDX-License-Identifier: MIT
#include "cli/runner.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <unordered_map>
#include <utility>

#include "cli/failure_report.h"
#include "cli/job_count.h"
#include "cli/job_log.h"
#include "cli/job_stream.h"
#include "cli/output_writer.h"
#include "cli/progress_line.h"
#include "cli/results_path.h"
#include "cli/results_table.h"
#include "cli/signals.h"
#include "report/progress.h"
#include "tine/tine.h"

namespace tine::cli {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kUsageError = 255;
constexpr int kMostFailuresCounted = 101;

std::chrono::nanoseconds to_ns(std::chrono::duration<double> duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration);
}

/// TERM three times within 350 ms, then KILL: a run is over half a second after Ctrl-C.
StopSequence stop_sequence(const std::vector<TermStep>& given) {
  using namespace std::chrono_literals;
  if (given.empty()) {
    return {{Signal::terminate, 200ms}, {Signal::terminate, 100ms}, {Signal::terminate, 50ms}};
  }
  StopSequence steps;
  for (const auto& step : given) steps.push_back({static_cast<Signal>(step.signal), step.wait});
  return steps;
}

/// The nearest ancestor that is a shell: whoever wrote the command had that one in mind, and its
/// exported functions are for it alone.
std::optional<std::string> shell_above() {
  static constexpr std::string_view kShells[] = {"ash",  "bash",  "dash",  "ksh", "ksh93", "lksh",
                                                 "mksh", "pdksh", "rbash", "sh",  "yash",  "zsh"};
  const auto chain = ancestors(::getppid());
  if (!chain) return std::nullopt;
  for (const auto& process : *chain) {
    const auto line = command_line(process.pid);
    if (!line) continue;
    std::string name = fs::path(line->substr(0, line->find(' '))).filename();
    if (name.starts_with('-')) name.erase(0, 1);  // a login shell
    if (std::ranges::find(kShells, name) == std::end(kShells)) continue;
    const auto path = find_program(name);
    if (path) return path->native();
  }
  return std::nullopt;
}

std::string shell_of_user() {
  const auto variable = [](const char* name) -> std::optional<std::string> {
    const char* shell = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
    return shell != nullptr && *shell != '\0' ? std::optional<std::string>(shell) : std::nullopt;
  };
  if (auto wanted = variable("PARALLEL_SHELL")) return *wanted;
  if (auto above = shell_above()) return *above;
  return variable("SHELL").value_or("/bin/sh");
}

/// A script without a #! line is one that only a shell would run.
bool has_program_format(const fs::path& path) {
  char head[4] = {};
  std::ifstream(path, std::ios::binary).read(head, sizeof head);
  const std::string_view start(head, sizeof head);
  return start.starts_with("#!") || start.starts_with(
                                        "\x7f"
                                        "ELF");
}

/// In the environment of every job; no other run has the same.
std::string unique_mark() {
  const auto self = process_info(::getpid());
  return fmt::format("TINE_RUN={}.{}", ::getpid(), self ? self->start_ticks : 0);
}

/// It could not be started because there is no place for its output; the next ones can't either.
bool is_refused_space(const Outcome& outcome) {
  if (outcome.result || outcome.result.error().cause != Cause::not_started) return false;
  const auto& error = outcome.result.error().error;
  return error && error->subject.starts_with("a temporary file in ");
}

/// What is kept of a job from its start to its output.
struct JobNotes {
  std::uint64_t seq = 0;
  std::string line{};
  std::string tag{};
  std::vector<std::string> values{};  ///< for tables alone
  std::string out_path{};             ///< --files, --results
  std::uint64_t received = 0;         ///< bytes of stdout that passed through here
};

class Runner {
 public:
  Runner(const RunSetting& setting, RunnerSetting runner)
      : setting_(setting),
        options_(setting.command_line.options),
        runner_(std::move(runner)),
        writer_(setting.stdout_closed, temporary_directory(),
                [this](int fd) { return wait_to_write(fd); }),
        progress_(Clock::now()),
        progress_line_(options_.bar || options_.eta || options_.progress) {}

  int run();

 private:
  // Before the first job.
  [[nodiscard]] std::string temporary_directory() const;
  bool prepare();
  bool open_stream();
  bool know_total();
  bool open_files();
  void set_environment();
  [[nodiscard]] tine::Halt halt_rule() const;
  [[nodiscard]] BatchOptions batch_options();
  bool watch(Batch& batch);

  // Jobs.
  Batch::Supply supply(Batch::Job& job);
  bool print_instead(const JobLine& line);
  Command command_for(const JobLine& line, std::size_t slot);
  const fs::path& program_path(const std::string& name);
  bool redirect_to_files(Command& command, const JobLine& line, JobNotes& notes);
  void announce(const JobNotes& notes);

  // What happens.
  void on_signal();
  void on_end(const Outcome& outcome);
  void on_lines(const RunningJob& job, Piece piece);
  void say_halt(const JobNotes& notes, bool failed);
  void print(Outcome& outcome);
  void print_table_row(const Outcome& outcome, const JobNotes& notes);
  void list_running();
  void on_supervisor_death();
  void on_shortage(const Error& refusal, std::size_t running);
  bool wait_to_write(int fd);
  void check_space(const Outcome& outcome);
  [[nodiscard]] bool is_ending() const { return ended_by_signal_ != 0 || supervisor_died_; }

  // The end.
  int finish();
  [[nodiscard]] int exit_code() const;
  void complain(const std::string& text);
  bool fail(const std::string& text);

  const RunSetting& setting_;
  const Options& options_;
  RunnerSetting runner_;
  std::optional<JobStream> stream_{};
  JobLine line_{};
  Batch* batch_ = nullptr;
  Fd signals_{};
  std::string mark_{};
  std::string shell_{};
  std::string last_program_{};
  fs::path last_path_{};
  bool first_job_ = true;
  bool stdin_is_free_ = false;

  OutputWriter writer_;
  std::optional<JobLog> log_{};
  std::optional<ResultsTable> table_{};
  std::unordered_map<std::uint64_t, JobNotes> notes_{};
  std::uint64_t next_in_order_ = 0;

  report::Progress progress_;
  ProgressLine progress_line_;
  FailureReport failures_{};
  std::uint64_t failed_ = 0;
  std::optional<int> halt_exit_{};
  int ended_by_signal_ = 0;
  Clock::time_point signaled_at_{};
  bool supervisor_died_ = false;
  bool halted_ = false;
  bool shortage_said_ = false;
  bool broken_ = false;  ///< an error of our own: exit 255
};

void Runner::complain(const std::string& text) {
  progress_line_.hide();
  writer_.say(setting_.name + ": " + text + "\n");
}

bool Runner::fail(const std::string& text) {
  broken_ = true;
  complain(text);
  return false;
}

std::string Runner::temporary_directory() const {
  if (!options_.temporary_directory.empty()) return options_.temporary_directory;
  const char* dir = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): one thread
  return dir != nullptr && *dir != '\0' ? dir : "/tmp";
}

// ---- Before the first job ----

bool Runner::open_stream() {
  auto slots = job_slots(options_.jobs);
  if (!slots) return fail(slots.error());
  shell_ = shell_of_user();
  auto stream =
      JobStream::open(setting_.command_line, {.slots = static_cast<int>(*slots), .shell = shell_});
  if (!stream) return fail(stream.error());
  stream_.emplace(std::move(*stream));
  return true;
}

/// A bar and a share need to know how many jobs there will be, which takes the whole input.
bool Runner::know_total() {
  const bool needed = options_.bar || options_.eta || options_.halt.percent > 0;
  while (needed && !stream_->total()) {
    const auto gathered = stream_->gather();
    if (!gathered) return fail(gathered.error());
    if (*gathered != Pull::would_block) continue;
    pollfd watched[3] = {{stream_->wait_fd(), POLLIN, 0},
                         {signals_.get(), POLLIN, 0},
                         {runner_.supervisor.get(), POLLIN, 0}};
    ::poll(watched, 3, -1);
    if (watched[2].revents != 0) return false;  // nothing has been started yet
    if (watched[1].revents != 0) break;         // Ctrl-C: the batch below will hear of it
  }
  if (const auto total = stream_->total()) progress_.set_total(*total);
  return true;
}

bool Runner::open_files() {
  if (!options_.job_log.empty() && !options_.dry_run) {
    auto log = JobLog::open(options_.job_log, options_.append_job_log);
    if (!log) return fail(log.error().to_string());
    log_.emplace(std::move(*log));
  }
  if (is_results_table(options_.results)) {
    if (options_.results.ends_with(".json")) {
      return fail("not supported yet: --results NAME.json; .csv and .tsv are");
    }
    auto table = ResultsTable::open(options_.results);
    if (!table) return fail(table.error().to_string());
    table_.emplace(std::move(*table));
  }
  if (!options_.working_directory.empty()) {
    std::error_code error;
    fs::create_directories(options_.working_directory, error);
    if (error) {
      return fail("cannot make the working directory '" + options_.working_directory +
                  "': " + error.message());
    }
  }
  return true;
}

/// Set once here, not in each command: a command without changes shares our environment as it is.
void Runner::set_environment() {
  mark_ = unique_mark();
  const auto equals = mark_.find('=');
  ::setenv(mark_.substr(0, equals).c_str(), mark_.substr(equals + 1).c_str(), 1);
  ::setenv("PARALLEL_PID", std::to_string(::getppid()).c_str(), 1);
  ::setenv("PARALLEL_SSHHOST", ":", 1);  // what {host} becomes
}

bool Runner::prepare() {
  signals_.reset(::signalfd(
      -1,
      [] {
        static sigset_t mask = block_signals();
        sigdelset(&mask, SIGCHLD);
        return &mask;
      }(),
      SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail("cannot read signals");
  if (!open_stream() || !know_total() || !open_files()) return false;
  set_environment();
  // A terminal only: a loop such as `while read x; do parallel ...; done <list` keeps its list.
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  stdin_is_free_ =
      terminal && std::ranges::none_of(setting_.command_line.sources, [](const InputSource& s) {
        return s.kind == InputSource::Kind::file && s.path == "-";
      });
  return true;
}

tine::Halt Runner::halt_rule() const {
  tine::Halt rule;
  rule.when = static_cast<tine::Halt::When>(options_.halt.when);
  rule.what = static_cast<tine::Halt::What>(options_.halt.why);
  rule.count = std::max<std::uint64_t>(1, options_.halt.count);
  if (options_.halt.percent > 0) {
    const double total = static_cast<double>(stream_->total().value_or(1));
    rule.count = static_cast<std::uint64_t>(
        std::max(1.0, std::ceil(total * options_.halt.percent / 100 - 1e-9)));
  }
  return rule;
}

BatchOptions Runner::batch_options() {
  BatchOptions batch;
  batch.timeout = to_ns(options_.timeout.after);
  batch.timeout_percent = options_.timeout.percent;
  batch.stop = stop_sequence(options_.term_sequence);
  batch.jobs = *job_slots(options_.jobs);
  constexpr std::uint64_t kEndless = 1'000'000'000;
  const auto attempts = options_.retries == 0 ? kEndless : std::min(options_.retries, kEndless);
  batch.retries = static_cast<int>(attempts - 1);
  batch.ordered = options_.keep_order;
  batch.halt = halt_rule();
  batch.delay = to_ns(options_.delay);
  if (options_.grouping == Grouping::line) batch.output = BatchOutput::lines;
  if (options_.grouping == Grouping::none) batch.output = BatchOutput::inherit;
  batch.on_output = [this](const RunningJob& job, Piece piece) { on_lines(job, piece); };
  batch.on_end = [this](const Outcome& outcome) { on_end(outcome); };
  batch.on_shortage = [this](const Error& refusal, std::size_t running) {
    on_shortage(refusal, running);
  };
  batch.tmpdir = temporary_directory();
  batch.kill_mark = mark_;
  return batch;
}

bool Runner::watch(Batch& batch) {
  auto signals = batch.watch(signals_.get(), [this] { on_signal(); });
  auto supervisor = batch.watch(runner_.supervisor.get(), [this] { on_supervisor_death(); });
  if (signals && supervisor) return true;
  return fail((signals ? supervisor : signals).error().to_string());
}

// ---- Jobs ----

/// --dry-run and --shellquote: what would be run, as text.
bool Runner::print_instead(const JobLine& line) {
  if (!options_.dry_run && options_.shell_quote == 0) return false;
  std::string text =
      options_.shell_quote > 0 ? quoted_times(line.line, options_.shell_quote) : line.line;
  const bool tagged = options_.tag || options_.tag_string;
  writer_.write_lines(1, text + "\n", tagged ? std::optional<std::string>(line.tag) : std::nullopt);
  return true;
}

Batch::Supply Runner::supply(Batch::Job& job) {
  for (;;) {
    if (broken_ || writer_.failed() || is_ending()) return Batch::Supply::end;
    const auto pulled = stream_->next(static_cast<int>(job.slot) + 1, line_);
    if (!pulled) {
      fail(pulled.error());
      return Batch::Supply::end;
    }
    if (*pulled == Pull::end) return Batch::Supply::end;
    if (*pulled == Pull::would_block) {
      auto watched = batch_->watch(stream_->wait_fd(), [] {}, true);
      if (watched || watched.error().errno_value == EEXIST) return Batch::Supply::wait;
      fail(watched.error().to_string());
      return Batch::Supply::end;
    }
    if (!print_instead(line_)) break;
  }
  JobNotes notes{.seq = line_.seq, .line = line_.line, .tag = line_.tag};
  if (table_) notes.values = line_.args;
  job.command = command_for(line_, job.slot);
  if (!redirect_to_files(job.command, line_, notes)) return Batch::Supply::end;
  announce(notes);
  if (is_ending()) return Batch::Supply::end;  // heard of while stdout was full
  progress_.job_started();
  job.name = notes.line;
  notes_.insert_or_assign(line_.seq - 1, std::move(notes));
  return Batch::Supply::job;
}

/// Looked up once and not for every job, as a shell does. Empty: there is none that the kernel
/// could execute, and the shell knows better what to do or to say.
const fs::path& Runner::program_path(const std::string& name) {
  if (name != last_program_) {
    last_program_ = name;
    auto found = find_program(name);
    last_path_ = found && has_program_format(*found) ? *found : fs::path{};
  }
  return last_path_;
}

Command Runner::command_for(const JobLine& line, std::size_t slot) {
  const bool direct = !line.argv.empty() &&
                      (options_.shell == ShellUse::never || !program_path(line.argv[0]).empty());
  Command command = direct ? Command::of(line.argv) : Command{shell_, "-c", line.line};
  const std::string& program = command.spec().argv[0];
  const bool below_workdir = !options_.working_directory.empty() && !program.starts_with('/') &&
                             program.find('/') != std::string::npos;
  if (below_workdir) {
    command.program(fs::path(options_.working_directory) / program);  // as after a cd
  } else if (const fs::path& path = program_path(program); !path.empty()) {
    command.program(path);
  }
  command.leave_descendants();
  command.env("PARALLEL_SEQ", std::to_string(line.seq));
  command.env("PARALLEL_JOBSLOT", std::to_string(slot + 1));
  if (!options_.process_slot_variable.empty()) {
    command.env(options_.process_slot_variable, std::to_string(slot));
  }
  if (!options_.working_directory.empty()) command.dir(options_.working_directory);
  if (options_.nice) command.nice(*options_.nice);
  if (runner_.files.rlim_cur != runner_.files.rlim_max) {
    command.limit(RLIMIT_NOFILE, runner_.files.rlim_cur, runner_.files.rlim_max);
  }
  if (first_job_ && stdin_is_free_) command.in(Redirect::inherit());
  first_job_ = false;
  return command;
}

bool Runner::redirect_to_files(Command& command, const JobLine& line, JobNotes& notes) {
  if (options_.files && line.results.empty()) {
    std::string path = temporary_directory() + "/parXXXXXX.par";
    Fd made{::mkostemps(path.data(), 4, O_CLOEXEC)};
    if (!made) return fail("cannot make a file in '" + temporary_directory() + "'");
    notes.out_path = path;
    command.out(Redirect::write(path));
    return true;
  }
  if (line.results.empty()) return true;
  const bool directory = line.results.ends_with('/');
  std::error_code error;
  const fs::path parent = directory ? fs::path(line.results) : fs::path(line.results).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) return fail("--results: cannot make '" + parent.native() + "': " + error.message());
  const std::string base = line.results;
  notes.out_path = directory ? base + "stdout" : base;
  command.out(Redirect::write(notes.out_path));
  command.err(Redirect::write(directory ? base + "stderr" : base + ".err"));
  std::ofstream seq(directory ? base + "seq" : base + ".seq");
  seq << line.seq;
  return seq.flush() ? true : fail("--results: cannot write below '" + parent.native() + "'");
}

/// -v and -t of jobs whose output is not grouped: before it, as it comes at once.
void Runner::announce(const JobNotes& notes) {
  if (options_.grouping == Grouping::job) return;
  const std::string text = notes.line + "\n";
  const std::uint64_t index = notes.seq - 1;
  const bool its_turn =
      !options_.keep_order || options_.grouping == Grouping::none || index == next_in_order_;
  for (const auto& [fd, wanted] :
       {std::pair{1, options_.verbose > 0}, {2, options_.verbose_on_stderr}}) {
    if (!wanted) continue;
    if (its_turn) {
      writer_.write(fd, text);
    } else {
      writer_.hold(index, fd, text, std::nullopt);
    }
  }
}

// ---- What happens ----

void Runner::list_running() {
  for (const auto& job : batch_->running()) {
    const std::chrono::duration<double> since = std::chrono::system_clock::now() - job.started;
    complain(fmt::format("running {} (pid {}, {}): {}", job.index + 1, job.pid,
                         report::readable(since), *job.name));
  }
}

void Runner::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    switch (info.ssi_signo) {
      case SIGHUP: batch_->stop_starting(); break;
      case SIGUSR1: list_running(); break;
      case SIGTSTP:
        batch_->suspend();
        ::raise(SIGSTOP);
        batch_->resume();
        break;
      default: {
        // Again, later: no more patience. At once: the same one, sent to our whole group and so
        // passed on by the supervisor as well.
        constexpr auto kSameOne = std::chrono::milliseconds(100);
        if (ended_by_signal_ != 0 && Clock::now() - signaled_at_ > kSameOne) {
          batch_->kill_all();
        } else {
          batch_->end_all();
        }
        ended_by_signal_ = static_cast<int>(info.ssi_signo);
        signaled_at_ = Clock::now();
      }
    }
  }
}

void Runner::on_supervisor_death() {
  batch_->unwatch(runner_.supervisor.get());
  supervisor_died_ = true;
  batch_->kill_all();
}

/// Said once: it comes and goes.
void Runner::on_shortage(const Error& refusal, std::size_t running) {
  if (!std::exchange(shortage_said_, true)) {
    complain(fmt::format("only {} jobs at once for now: {}", running, refusal.to_string()));
  }
}

/// stdout or stderr is full: its reader pauses. Signals are heard all the same, and once the run is
/// being ended nobody is waited for.
bool Runner::wait_to_write(int fd) {
  constexpr int kLastCallMs = 100;
  for (;;) {
    pollfd watched[3] = {
        {fd, POLLOUT, 0}, {signals_.get(), POLLIN, 0}, {runner_.supervisor.get(), POLLIN, 0}};
    if (is_ending()) return ::poll(watched, 1, kLastCallMs) > 0;
    ::poll(watched, 3, -1);
    if (watched[0].revents != 0) return true;
    if (batch_ == nullptr) return false;
    if (watched[1].revents != 0) on_signal();
    if (watched[2].revents != 0) on_supervisor_death();
  }
}

/// Few programs say that their output did not fit, so a full disk would go by unseen: with little
/// room left, some bytes are written to see.
void Runner::check_space(const Outcome& outcome) {
  const OutputFile& file = outcome.out.size() > 0 ? outcome.out : outcome.err;
  struct statvfs room{};
  if (broken_ || file.size() == 0 || ::fstatvfs(file.fd().get(), &room) != 0) return;
  constexpr std::uint64_t kPlenty = 1 << 20;
  if (room.f_blocks == 0 || std::uint64_t{room.f_bavail} * room.f_frsize >= kPlenty) return;
  const auto trial = OutputFile::create(temporary_directory());
  const std::string bytes(8192, '-');
  if (trial && ::write(trial->fd().get(), bytes.data(), bytes.size()) ==
                   static_cast<ssize_t>(bytes.size())) {
    return;
  }
  fail(
      "no space left in '" + temporary_directory() +
      "' for the output of jobs, so it is incomplete: set TMPDIR or --tmpdir to another directory");
  batch_->end_all();
}

void Runner::say_halt(const JobNotes& notes, bool failed) {
  if (options_.halt.when == Halt::When::never || batch_->halted()) return;
  const char* what = nullptr;
  if (options_.halt.why == Halt::Why::fail && failed) what = "failed";
  if (options_.halt.why == Halt::Why::success && !failed) what = "succeeded";
  if (options_.halt.why == Halt::Why::done) what = "finished";
  if (what == nullptr) return;
  complain(fmt::format("This job {}:\n{}", what, notes.line));
}

void Runner::on_end(const Outcome& outcome) {
  JobNotes& notes = notes_[outcome.index];
  const JobExit exit = job_exit(outcome.result);
  const bool ended_by_us = !outcome.result && outcome.result.error().cause == Cause::cancelled;
  if (outcome.out) notes.received = outcome.out.size();
  struct stat file{};
  if (!notes.out_path.empty() && ::stat(notes.out_path.c_str(), &file) == 0) {
    notes.received = static_cast<std::uint64_t>(file.st_size);
  }
  if (log_) {
    auto logged = log_->write(notes.seq, outcome, notes.received, notes.line);
    if (!logged && !broken_) {
      fail(logged.error().to_string());
      batch_->end_all();
    }
  }
  check_space(outcome);
  if (is_refused_space(outcome) && !broken_) {
    broken_ = true;  // print() says why
    batch_->end_all();
  }
  if (!outcome.result && outcome.result.error().cause == Cause::timed_out) {
    complain("timed out: " + notes.line);
  }
  if (!ended_by_us) {
    failed_ += exit.failed() ? 1 : 0;
    const bool counts = exit.failed() || options_.halt.why == Halt::Why::done;
    if (counts && !halt_exit_) halt_exit_ = exit.shell_code();
    say_halt(notes, exit.failed());
    if (!outcome.result) failures_.add(notes.seq, notes.line, outcome.result.error());
  }
  const Usage& used = outcome.result ? outcome.result->usage : outcome.result.error().usage;
  progress_.job_ended({exit.failed(), outcome.elapsed, used.user + used.sys}, notes.line);
}

void Runner::on_lines(const RunningJob& job, Piece piece) {
  JobNotes& notes = notes_[job.index];
  if (piece.fd == 1) notes.received += piece.text.size();
  const bool tagged = options_.tag || options_.tag_string;
  const std::optional<std::string> tag =
      tagged ? std::optional<std::string>(notes.tag) : std::nullopt;
  progress_line_.hide();
  if (options_.keep_order && job.index != next_in_order_) {
    writer_.hold(job.index, piece.fd, piece.text, tag);
  } else {
    writer_.write_lines(piece.fd, piece.text, tag);
  }
}

void Runner::print_table_row(const Outcome& outcome, const JobNotes& notes) {
  const std::string rows = table_->rows(notes.seq, outcome, notes.line, notes.values);
  if (table_->to_stdout()) return writer_.write(1, rows);
  if (auto done = table_->write(rows); !done && !broken_) {
    fail(done.error().to_string());
    batch_->end_all();
  }
}

void Runner::print(Outcome& outcome) {
  const auto found = notes_.find(outcome.index);
  JobNotes notes = std::move(found->second);
  notes_.erase(found);
  next_in_order_ = outcome.index + 1;
  const bool ended_by_us = !outcome.result && outcome.result.error().cause == Cause::cancelled;
  const bool tagged = options_.tag || options_.tag_string;
  const std::optional<std::string> tag =
      tagged ? std::optional<std::string>(std::move(notes.tag)) : std::nullopt;
  if (!ended_by_us) {
    const bool says_something = (outcome.out && outcome.out.size() > 0) ||
                                (outcome.err && outcome.err.size() > 0) || options_.verbose > 0;
    if (says_something) progress_line_.hide();
    if (options_.grouping == Grouping::job) {
      if (options_.verbose > 0) writer_.write_lines(1, notes.line + "\n", tag);
      if (options_.verbose_on_stderr) writer_.write(2, notes.line + "\n");
    }
    if (table_) {
      print_table_row(outcome, notes);
    } else {
      writer_.write_file(1, outcome.out, tag);
      writer_.write_file(2, outcome.err, tag);
    }
    if (options_.files && !notes.out_path.empty())
      writer_.write_lines(1, notes.out_path + "\n", tag);
    const bool not_started = !outcome.result && outcome.result.error().cause == Cause::not_started;
    if (not_started)
      writer_.write(2, setting_.name + ": " + outcome.result.error().to_string() + "\n");
  }
  if (options_.keep_order) writer_.release(next_in_order_);
  batch_->reuse(std::move(outcome.out), std::move(outcome.err));
}

// ---- The whole, and its end ----

int Runner::run() {
  if (!prepare()) return kUsageError;
  {
    Batch batch(batch_options(), [this](Batch::Job& job) { return supply(job); });
    batch_ = &batch;
    if (!watch(batch)) return kUsageError;
    bool said = false;
    while (auto outcome = batch.next()) {
      print(*outcome);
      progress_line_.update(progress_);
      if (writer_.failed() && !said) {
        said = true;
        fail(writer_.failed()->to_string());
        batch.end_all();
      }
    }
    if (writer_.failed() && !said) fail(writer_.failed()->to_string());
    if (is_ending()) kill_marked(mark_);
    halted_ = batch.halted();
    batch_ = nullptr;
  }
  return finish();
}

int Runner::finish() {
  progress_line_.finish(progress_);
  if (options_.summary) writer_.say(progress_.summary(Clock::now()));
  if (!setting_.drop_in && !failures_.empty()) {
    writer_.say(failures_.text(setting_.name, progress_.ended()));
  }
  if (ended_by_signal_ == SIGINT) {
    // So that the supervisor, and the shell loop above it, see an interrupt.
    ::signal(SIGINT, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    ::raise(SIGINT);
  }
  return exit_code();
}

int Runner::exit_code() const {
  if (broken_ || ended_by_signal_ != 0 || supervisor_died_) return kUsageError;
  const int counted = static_cast<int>(std::min<std::uint64_t>(failed_, kMostFailuresCounted));
  const double percent = options_.halt.percent;
  const auto total = static_cast<double>(std::max<std::uint64_t>(1, stream_->total().value_or(1)));
  const auto share = static_cast<int>(std::ceil(static_cast<double>(failed_) * 100 / total));
  if (!halted_) return percent > 0 ? share : counted;
  if (options_.halt.why == Halt::Why::success) return 0;
  // One job that says stop speaks for the whole run, also where a share comes to one.
  const bool one = percent > 0 ? total * (percent / 100) == 1 : options_.halt.count <= 1;
  if (one) return halt_exit_.value_or(counted);
  return percent > 0 ? share : counted;
}

}  // namespace

int run_jobs(const RunSetting& setting, RunnerSetting runner) {
  return Runner(setting, std::move(runner)).run();
}

}  // namespace tine::cli
