// SPDX-License-Identifier: MIT
#pragma once

/// A job in its slot: the process that runs it, what it writes, and how far its ending has come.
///
/// Owner: the process and its streams, until the job is over. Everything happens in handlers of the
/// event loop, which name the job by its address: it never moves.

#include <chrono>
#include <expected>
#include <functional>
#include <optional>
#include <vector>

#include "child/tree_stopper.h"
#include "command/job_attempt.h"
#include "command/job_launcher.h"
#include "command/line_stream.h"
#include "os/event_loop.h"
#include "os/process_table.h"
#include "tine/batch.h"

namespace tine::command {

class JobInFlight {
 public:
  /// Why we end it.
  enum class Ending : unsigned char { none, timed_out, cancelled };

  /// What all jobs of a batch have in common. The functions are called by the event loop's
  /// handlers.
  struct Shared {
    os::EventLoop& loop;
    const StopSequence& stop;
    std::function<void(const JobInFlight&, Piece)> on_lines;
    std::function<void(JobInFlight&)> on_over;  ///< may destroy the job
  };

  /// Requires: `shared` outlives it.
  JobInFlight(JobAttempt attempt, const Shared& shared);
  JobInFlight(const JobInFlight&) = delete;
  JobInFlight& operator=(const JobInFlight&) = delete;

  /// From here on on_over comes, once. `limit` above 0: at most so long.
  void run(LaunchedJob launched, std::chrono::nanoseconds limit);
  /// Counts from the start; replaces an earlier limit. While nobody calls the event loop, the
  /// guardian enforces it.
  void set_limit(std::chrono::nanoseconds limit);
  /// Stops the whole tree, and its clock.
  void suspend();
  /// Lets it go on after `pause`, which does not count.
  void resume(std::chrono::nanoseconds pause);

  /// Ends the job's tree by the stop sequence; the first reason stays.
  /// `seen`: a look at /proc that was taken just now, where many are ended.
  void end(Ending why, os::ProcessTable* seen = nullptr);
  /// KILL for the tree, at once.
  void kill();
  [[nodiscard]] RunningJob description() const;
  [[nodiscard]] JobAttempt& attempt() noexcept { return attempt_; }
  [[nodiscard]] LaunchedJob& launched() noexcept { return launched_; }
  [[nodiscard]] Ending ending() const noexcept { return ending_; }
  /// Requires: it is over.
  [[nodiscard]] Result<Finished>& result() noexcept { return result_; }

 private:
  enum class State : unsigned char;
  enum class Event : unsigned char;
  enum class Action : unsigned char;
  static Action action_for(State state, Event event) noexcept;
  void on(Event event, os::ProcessTable* seen = nullptr);
  void note(Ending why) noexcept;

  // The actions.
  void next_stop_step(os::ProcessTable* seen);
  void await_descendants();
  void kill_tree();
  void finish();

  child::TreeStopper new_tree();
  child::TreeStopper& tree();
  void await(int pidfd, Event event);
  void set_timer(std::chrono::steady_clock::time_point when);
  void tell_guardian();
  void signal(int number);
  void look_later();
  void look();
  void hear_end();

  void watch_streams();
  void read(LineStream& stream);
  void close(LineStream& stream);
  [[nodiscard]] LineStream::Taker taker();
  [[nodiscard]] Result<Finished> result_of(const std::expected<Finished, Error>& ended);

  const Shared& shared_;
  JobAttempt attempt_;
  LaunchedJob launched_{};
  std::vector<LineStream> streams_{};
  Result<Finished> result_{Finished{}};

  State state_;
  Ending ending_ = Ending::none;
  std::chrono::nanoseconds limit_{0};  ///< 0: none
  std::size_t stop_step_ = 0;
  std::optional<child::TreeStopper> tree_{};  ///< from the first signal on
  int awaited_ = -1;                          ///< the pidfd of the process whose end is next
  Event awaited_event_;
  os::EventLoop::TimerId timer_ = 0;  ///< of the time limit, then of the stop sequence
  os::EventLoop::TimerId look_timer_ = 0;
};

}  // namespace tine::command
