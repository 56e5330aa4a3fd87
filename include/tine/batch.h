// SPDX-License-Identifier: MIT
#pragma once

/// Many commands, a bounded number at a time: GNU parallel as a function.
///
///     tine::Batch batch{{.timeout = 30s, .jobs = 8, .retries = 2}};
///     for (const auto& log : logs) batch.add({"gzip", "-9", log});
///     while (auto outcome = batch.next()) report(outcome->index, outcome->result);
///
/// Every command that went in comes out as one Outcome, in the order of the ends or (`ordered`) of
/// the input. Its output waits in unlinked files, so it costs this process no memory and never
/// mixes. Work progresses inside next(); no thread is started and nothing happens behind the
/// caller's back, except that the guardian ends the jobs when this process dies.
///
/// Functions of yours (`on_output`, `on_end`, `on_shortage`, a Source, a handler of watch()) are
/// called inside next(), `on_end` also inside the functions that stop the batch. They may use the
/// batch, but not call next() or destroy it. What they throw leaves next(), the call at work or the
/// one to come, each exception a call of its own; before that, others of them may still be called.
/// No outcome is lost or given twice: to call next() again goes on, and asks the Source again. The
/// destructor calls none of them.
///
/// Owner: the batch owns what runs; its destructor ends and reaps it. Threads: one at a time.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tine/cancel.h"
#include "tine/child.h"
#include "tine/command.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine {

namespace command {
class OutputPool;
}

/// When to stop before the input ends: `when` `count` jobs, or `percent` of all that ended (at
/// least three), have failed, succeeded or ended.
struct Halt {
  enum class When : unsigned char {
    never,
    soon,  ///< start nothing more, let the running ones finish
    now,   ///< start nothing more, end the running ones
  };
  enum class What : unsigned char { fail, success, done };

  When when = When::never;
  What what = What::fail;
  std::uint64_t count = 1;
  double percent = 0;  ///< above 0: instead of count
};

/// Where the output of a job goes, for each of stdout and stderr that its command left as it was.
enum class BatchOutput : unsigned char {
  files,    ///< to unlinked files, handed over with the outcome
  lines,    ///< to `on_output`, in whole lines, while the job runs
  inherit,  ///< straight through
};

/// A job in flight.
struct RunningJob {
  std::uint64_t index = 0;
  std::size_t slot = 0;
  pid_t pid = 0;
  int attempt = 1;
  std::chrono::system_clock::time_point started{};
  const std::string* name = nullptr;
};

struct Outcome;

struct BatchOptions {
  std::chrono::nanoseconds timeout{0};  ///< of one attempt; 0: none
  StopSequence stop{StopStep{}};        ///< how a job is ended: TERM, 2 s, then KILL
  std::size_t jobs = 0;                 ///< at most so many at once; 0: usable_cpus()
  int retries = 0;                      ///< further attempts after a failure
  bool ordered = false;                 ///< outcomes in the order of the input
  Halt halt{};
  std::chrono::nanoseconds delay{0};  ///< between two starts, at least
  double timeout_percent = 0;         ///< above 0: a job may take so much of the median time
  BatchOutput output = BatchOutput::files;
  /// For BatchOutput::lines: one or more whole lines with their newlines; only the end of a stream,
  /// and a line above 1 MiB, may come without.
  std::function<void(const RunningJob&, Piece)> on_output{};
  /// Called when a job has ended for good: in the order of the ends, also when outcomes wait for
  /// their turn.
  std::function<void(const Outcome&)> on_end{};
  std::filesystem::path tmpdir{};  ///< empty: $TMPDIR, else /tmp
  /// Called when the system refuses one more process or descriptor while others run: from then on
  /// no more than those run at once, and the refused job waits for its turn.
  std::function<void(const Error& refusal, std::size_t running)> on_shortage{};
  /// `NAME=value`, set in every job's environment: whatever still carries it when this process is
  /// killed is ended too, also what left its group, its session and its parent.
  std::string kill_mark{};
  CancelToken cancel{};
};

/// What a job wrote: an unlinked file, gone with the last holder.
class OutputFile {
 public:
  OutputFile() noexcept = default;
  /// Errors: no_space, too_many_files; the subject is the directory.
  [[nodiscard]] static std::expected<OutputFile, Error> create(const std::filesystem::path& dir);

  [[nodiscard]] std::uint64_t size() const noexcept;
  /// Copies all of it to `fd` inside the kernel where that is possible. While a non-blocking `fd`
  /// takes nothing, `wait` is called (empty: poll(2)); when that gives false the copy ends there.
  /// Errors: broken_pipe, no_space, cancelled, system.  Units: bytes copied.
  std::expected<std::uint64_t, Error> copy_to(int fd, const std::function<bool()>& wait = {}) const;
  /// Up to `limit` bytes from the beginning, or (`tail`) from the end.
  [[nodiscard]] std::string read(std::size_t limit = SIZE_MAX) const;
  [[nodiscard]] std::string tail(std::size_t limit) const;
  [[nodiscard]] const Fd& fd() const noexcept { return file_; }
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(file_); }

 private:
  friend class command::OutputPool;
  /// Another open file for the job, so that the kernel can tell when nobody has it any more.
  [[nodiscard]] Fd open_for_job() const;
  [[nodiscard]] bool is_ours_alone() const noexcept;

  Fd file_;
  std::optional<std::uint64_t> final_size_{};  ///< once its job has ended, and left nobody behind
  bool exclusive_ = true;  ///< no survivor of its job may still be writing to it
};

struct Outcome {
  std::uint64_t index = 0;  ///< of the command in the input, from 0
  std::size_t slot = 0;     ///< which of the slots ran it, from 0
  Result<Finished> result{Finished{}};
  int attempts = 1;
  std::chrono::system_clock::time_point started{};  ///< of the last attempt
  std::chrono::nanoseconds elapsed{};
  OutputFile out{};  ///< BatchOutput::files
  OutputFile err{};
};

class Batch {
 public:
  struct Job {
    Command command{""};
    std::string name{};  ///< for messages; empty: the command itself
    std::uint64_t index = 0;
    std::size_t slot = 0;  ///< already set when a source is asked; the same for all attempts
  };
  enum class Supply : unsigned char {
    job,   ///< `job` has been filled in
    wait,  ///< nothing yet: asked again after the next event, such as a watched descriptor's
    end,
  };
  using Source = std::function<Supply(Job& job)>;

  explicit Batch(BatchOptions options = {});
  /// Commands made when a slot is free for them: a million of them need no memory.
  Batch(BatchOptions options, Source source);
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;
  ~Batch();

  void add(Command command);

  /// The next outcome; nothing when all have been given, or the batch was halted or cancelled and
  /// nothing runs any more. A job that could not be started is an outcome (not_started).
  ///
  /// Blocks: until there is one. Memory: at most 256 finished outcomes wait for their turn when
  /// `ordered`; then no new job starts.
  [[nodiscard]] std::optional<Outcome> next();

  /// Starts nothing more; what runs goes on.
  void stop_starting();
  /// Starts nothing more and ends what runs by the stop sequence; outcomes: Cause::cancelled.
  void end_all();
  /// Ends what runs with KILL, at once.
  void kill_all();
  /// Stops every job's tree (SIGSTOP) and all clocks of this batch, and lets them go on.
  void suspend();
  void resume();

  /// Takes back files that have been read, so that later jobs need no new ones.
  void reuse(OutputFile out, OutputFile err);

  [[nodiscard]] std::vector<RunningJob> running() const;
  [[nodiscard]] bool halted() const noexcept;

  /// Calls `handler` inside next() when `fd` is readable; `once`: only the next time.
  /// Errors: not_permitted for a regular file, which is always readable; not_owner.
  std::expected<void, Error> watch(int fd, std::function<void()> handler, bool once = false);
  void unwatch(int fd);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tine
