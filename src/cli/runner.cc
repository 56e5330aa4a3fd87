// SPDX-License-Identifier: MIT
#include "cli/runner.h"

#include <fmt/core.h>
#include <signal.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <unordered_map>
#include <utility>

#include "cli/batch_options.h"
#include "cli/interruptions.h"
#include "cli/job_count.h"
#include "cli/job_environment.h"
#include "cli/job_maker.h"
#include "cli/job_stream.h"
#include "cli/output_space.h"
#include "cli/results_path.h"
#include "cli/run_output.h"
#include "cli/run_record.h"
#include "cli/signals.h"
#include "cli/user_shell.h"
#include "tine/tine.h"

namespace tine::cli {

namespace {

/// How the halt rule would say that this job counts; nothing when it does not.
const char* halt_word(const Halt& halt, bool failed) {
  if (halt.when == Halt::When::never) return nullptr;
  switch (halt.what) {
    case Halt::What::fail: return failed ? "failed" : nullptr;
    case Halt::What::success: return failed ? nullptr : "succeeded";
    case Halt::What::done: return "finished";
  }
  return nullptr;
}

class Runner {
 public:
  Runner(const RunSetting& setting, RunnerSetting runner)
      : setting_(setting),
        options_(setting.command_line.options),
        files_(runner.files),
        interruptions_(std::move(runner.supervisor),
                       [this](const Batch& batch) { list_running(batch); }),
        output_(options_, setting.name, setting.stdout_closed,
                [this](int fd) { return interruptions_.wait_to_write(fd); }),
        record_(options_) {}

  int run();

 private:
  // Before the first job.
  bool prepare();
  bool open_stream();
  bool know_total();
  bool open_files();

  // While jobs run.
  void run_batch();
  BatchOptions options_of_batch(const std::string& mark);
  bool watch_events();
  Batch::Supply supply(Batch::Job& job);
  Batch::Supply pull_line(std::size_t slot);
  void on_end(const Outcome& outcome);
  bool is_ended_by_us(const Outcome& outcome);
  void on_output(const RunningJob& job, Piece piece);
  void say_how_it_ended(const Outcome& outcome, const JobNotes& job);
  void print(Outcome& outcome);
  void list_running(const Batch& batch);
  void on_shortage(const Error& refusal, std::size_t running);

  // The end.
  int finish();
  void say_what_was_interrupted();
  std::string not_started();
  bool fail(const std::string& text);
  void give_up();
  void give_up(const std::string& text);

  const RunSetting& setting_;
  const Options& options_;
  const rlimit files_;
  Interruptions interruptions_;
  RunOutput output_;
  RunRecord record_;

  std::size_t slots_ = 1;
  std::optional<std::uint64_t> total_;  ///< of all jobs, where it is known before the first
  std::optional<JobStream> stream_;
  std::optional<JobMaker> maker_;

  std::optional<Batch> batch_;
  JobLine line_{};                                     ///< kept for its strings
  std::unordered_map<std::uint64_t, JobNotes> notes_;  ///< from the start to the print, by index
  bool shortage_said_ = false;
  bool halted_ = false;
  bool broken_ = false;    ///< an error of our own: exit 255
  bool given_up_ = false;  ///< one that makes it pointless to let the running jobs finish
};

/// An error of our own: nothing more is started.
bool Runner::fail(const std::string& text) {
  broken_ = true;
  output_.complain(text);
  return false;
}

/// Once: jobs that are still running would run into it too.
void Runner::give_up() {
  broken_ = true;
  if (!std::exchange(given_up_, true)) batch_->end_all();
}

void Runner::give_up(const std::string& text) {
  if (given_up_) return;
  fail(text);
  give_up();
}

// ---- Before the first job ----

bool Runner::prepare() {
  if (auto opened = interruptions_.open(); !opened) return fail(opened.error().to_string());
  return open_stream() && know_total() && open_files();
}

bool Runner::open_stream() {
  const auto slots = job_slots(options_.jobs);
  if (!slots) return fail(slots.error());
  slots_ = *slots;
  const std::string shell = user_shell();
  auto stream =
      JobStream::open(setting_.command_line, {.slots = static_cast<int>(slots_), .shell = shell});
  if (!stream) return fail(stream.error());
  stream_.emplace(std::move(*stream));
  maker_.emplace(setting_.command_line, shell, files_);
  return true;
}

/// A bar and a share need to know how many jobs there will be, which takes the whole input.
bool Runner::know_total() {
  total_ = options_.total_jobs;
  if (total_) {
    record_.set_total(*total_);
    return true;
  }
  const bool needed = options_.bar || options_.eta || options_.halt.percent > 0;
  while (needed && !stream_->total()) {
    const auto gathered = stream_->gather();
    if (!gathered) return fail(gathered.error());
    const bool waits = *gathered == Pull::would_block;
    if (waits && !interruptions_.wait_to_read(stream_->wait_fd())) break;
  }
  total_ = stream_->total();
  if (total_) record_.set_total(*total_);
  return true;
}

bool Runner::open_files() {
  if (!options_.job_log.empty() && !options_.dry_run) {
    auto opened = record_.open_log(options_.job_log, options_.append_job_log);
    if (!opened) return fail(opened.error().to_string());
  }
  if (is_results_table(options_.results)) {
    if (auto opened = output_.open_table(options_.results); !opened) return fail(opened.error());
  }
  if (options_.working_directory.empty()) return true;
  std::error_code error;
  std::filesystem::create_directories(options_.working_directory, error);
  if (!error) return true;
  return fail("cannot make the working directory '" + options_.working_directory +
              "': " + error.message());
}

// ---- While jobs run ----

BatchOptions Runner::options_of_batch(const std::string& mark) {
  BatchOptions options = batch_options(options_, slots_, total_);
  options.kill_mark = mark;
  options.on_end = [this](const Outcome& outcome) { on_end(outcome); };
  options.on_output = [this](const RunningJob& job, Piece piece) { on_output(job, piece); };
  options.on_shortage = [this](const Error& refusal, std::size_t running) {
    on_shortage(refusal, running);
  };
  return options;
}

bool Runner::watch_events() {
  auto done = interruptions_.attach(*batch_);
  const Fd& timer = output_.progress_line().timer();
  if (done && timer) {
    done = batch_->watch(timer.get(), [this] { output_.progress_line().tick(record_.progress()); });
  }
  return done ? true : fail(done.error().to_string());
}

void Runner::run_batch() {
  const std::string mark = set_job_environment();
  batch_.emplace(options_of_batch(mark), [this](Batch::Job& job) { return supply(job); });
  if (watch_events()) {
    while (auto outcome = batch_->next()) {
      print(*outcome);
      output_.progress_line().update(record_.progress());
      if (output_.failed()) give_up(output_.failed()->to_string());
    }
    if (output_.failed()) give_up(output_.failed()->to_string());
    if (interruptions_.is_ending()) kill_marked(mark);
    halted_ = batch_->halted();
  }
  interruptions_.detach();
  batch_.reset();
}

/// The next line that is to be run; those that are only to be printed are printed here.
Batch::Supply Runner::pull_line(std::size_t slot) {
  const bool only_prints = options_.dry_run || options_.shell_quote > 0;
  while (!broken_ && !output_.failed() && !interruptions_.is_ending()) {
    const auto pulled = stream_->next(static_cast<int>(slot) + 1, line_);
    if (!pulled) {
      fail(pulled.error());
      break;
    }
    if (*pulled == Pull::end) break;
    if (*pulled == Pull::would_block) {
      auto watched = batch_->watch(stream_->wait_fd(), [] {}, true);
      if (watched || watched.error().errno_value == EEXIST) return Batch::Supply::wait;
      fail(watched.error().to_string());
      break;
    }
    if (!only_prints) return Batch::Supply::job;
    output_.print_instead(line_);
  }
  return Batch::Supply::end;
}

Batch::Supply Runner::supply(Batch::Job& job) {
  const auto pulled = pull_line(job.slot);
  if (pulled != Batch::Supply::job) return pulled;
  auto made = maker_->make(line_, job.slot);
  if (!made) {
    fail(made.error());
    return Batch::Supply::end;
  }
  output_.announce(made->notes);
  if (interruptions_.is_ending()) return Batch::Supply::end;  // heard of while stdout was full
  job.command = std::move(made->command);
  job.name = made->notes.line;
  notes_.insert_or_assign(made->notes.index(), std::move(made->notes));
  return Batch::Supply::job;
}

void Runner::on_end(const Outcome& outcome) {
  const JobNotes& notes = notes_[outcome.index];
  const bool ended_by_us = is_ended_by_us(outcome);
  if (auto added = record_.add(outcome, notes, ended_by_us); !added) {
    give_up(added.error().to_string());
  }
  const std::string& waiting = options_.temporary_directory;
  if (const auto full = given_up_ ? std::nullopt : full_directory(outcome, notes, waiting)) {
    give_up("no space left in '" + *full + "' for the output of jobs, so it is incomplete" +
            (*full == waiting ? ": set TMPDIR or --tmpdir to another directory" : ""));
  }
  if (is_refused_space(outcome)) give_up();  // print() says why
  if (!ended_by_us) say_how_it_ended(outcome, notes);
}

/// A job that has the terminal for its stdin is in our group, so that ^C reaches it by itself. It
/// reached us first: the kernel signals the whole group before any of it can be reaped.
bool Runner::is_ended_by_us(const Outcome& outcome) {
  if (failed_by(Cause::cancelled, outcome)) return true;
  if (!failed_by(Cause::signaled, outcome)) return false;
  if (outcome.result.error().status->signal() != SIGINT) return false;
  interruptions_.hear_signals();
  return interruptions_.ended_by() == SIGINT;
}

void Runner::on_output(const RunningJob& job, Piece piece) {
  JobNotes& notes = notes_[job.index];
  if (piece.fd == 1) notes.passed_on += piece.text.size();
  output_.pass_on(piece, notes);
}

void Runner::say_how_it_ended(const Outcome& outcome, const JobNotes& job) {
  if (failed_by(Cause::timed_out, outcome)) output_.complain("timed out: " + job.line);
  if (batch_->halted()) return;
  if (const char* word = halt_word(options_.halt, job_exit(outcome.result).failed())) {
    output_.complain(fmt::format("This job {}:\n{}", word, job.line));
  }
}

void Runner::print(Outcome& outcome) {
  const auto notes = notes_.extract(outcome.index);
  if (auto printed = output_.print(outcome, notes.mapped()); !printed) {
    give_up(printed.error().to_string());
  }
  batch_->reuse(std::move(outcome.out), std::move(outcome.err));
}

void Runner::list_running(const Batch& batch) {
  for (const auto& job : batch.running()) {
    const std::chrono::duration<double> since = std::chrono::system_clock::now() - job.started;
    output_.complain(fmt::format("running {} (pid {}, {}): {}", job.index + 1, job.pid,
                                 report::readable(since), *job.name));
  }
}

/// Said once: it comes and goes.
void Runner::on_shortage(const Error& refusal, std::size_t running) {
  if (std::exchange(shortage_said_, true)) return;
  output_.complain(fmt::format("only {} jobs at once for now: {}", running, refusal.to_string()));
}

// ---- The whole, and its end ----

int Runner::run() {
  if (!prepare()) return kOwnFailure;
  if (!interruptions_.is_ending()) run_batch();
  return finish();
}

int Runner::finish() {
  const auto& progress = record_.progress();
  output_.progress_line().finish(progress);
  if (options_.summary) output_.say(progress.summary(report::Progress::Clock::now()));
  if (!setting_.drop_in && interruptions_.ended_by() != 0) say_what_was_interrupted();
  if (!setting_.drop_in && options_.list_failures && !record_.failures().empty()) {
    output_.say(record_.failures().text(setting_.name, progress.ended()));
  }
  if (stream_ && stream_->had_nul()) {
    output_.complain("the input holds NULs, which became \\0 in values; -0 ends values at them");
  }
  if (interruptions_.ended_by() == SIGINT) die_by(SIGINT);
  if (broken_ || interruptions_.is_ending()) return kOwnFailure;
  return record_.exit_code(halted_);
}

void Runner::say_what_was_interrupted() {
  const auto& progress = record_.progress();
  output_.complain(fmt::format("interrupted by {}: {} jobs done, {} ended, {} not started",
                               signal_name(interruptions_.ended_by()), progress.ended(),
                               progress.cancelled(), not_started()));
}

/// How many, where that can be told: a pipe holds its input back, and some never ends.
std::string Runner::not_started() {
  constexpr std::uint64_t kEnough = 10'000;
  if (!stream_ || broken_) return "the rest";
  std::uint64_t count = 0;
  for (; count < kEnough; ++count) {
    const auto pulled = stream_->next(1, line_);
    if (!pulled || *pulled == Pull::would_block) return "the rest";
    if (*pulled == Pull::end) return std::to_string(count);
  }
  return "more than " + std::to_string(kEnough);
}

}  // namespace

int run_jobs(const RunSetting& setting, RunnerSetting runner) {
  return Runner(setting, std::move(runner)).run();
}

}  // namespace tine::cli
