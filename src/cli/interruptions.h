// SPDX-License-Identifier: MIT
#pragma once

/// What reaches a run from outside: signals, and the death of its supervisor.
///
/// They are heard inside Batch::next() and inside the two waits below, and act on the batch at
/// once: TERM and INT end its jobs, HUP starts no more, TSTP suspends them, the death of the
/// supervisor kills them.

#include <chrono>
#include <expected>
#include <functional>
#include <utility>

#include "tine/batch.h"
#include "tine/error.h"
#include "tine/fd.h"

namespace tine::cli {

class Interruptions {
 public:
  /// `supervisor`: its pidfd. `list_running` is called on USR1.
  Interruptions(Fd supervisor, std::function<void(const Batch&)> list_running)
      : supervisor_(std::move(supervisor)), list_running_(std::move(list_running)) {}

  /// From here on signals are kept until they are heard. Errors: too_many_files.
  std::expected<void, Error> open();
  /// From here on they act on `batch`, which outlives this or is detached. Errors: out_of_memory.
  std::expected<void, Error> attach(Batch& batch);
  void detach() { batch_ = nullptr; }

  /// Before there is a batch: waits until `fd` is readable; false: the run is to go no further.
  bool wait_to_read(int fd);
  /// stdout or stderr is full: its reader pauses. Waits until `fd` takes more; false: it does not,
  /// and the run is being ended, for which nobody is waited.
  bool wait_to_write(int fd);

  /// Those that are waiting to be heard.
  void hear_signals();

  /// The run is being ended: by a signal, or because its supervisor has died.
  [[nodiscard]] bool is_ending() const { return ended_by_ != 0 || supervisor_died_; }
  /// INT or TERM; 0: none.
  [[nodiscard]] int ended_by() const { return ended_by_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool wait_once(int fd, short events);
  void hear(int signal);
  void end_by(int signal);
  void hear_death_of_supervisor();

  Fd supervisor_;
  std::function<void(const Batch&)> list_running_;
  Fd signals_;
  Batch* batch_ = nullptr;
  int ended_by_ = 0;
  Clock::time_point ended_at_;
  bool supervisor_died_ = false;
  bool hung_up_ = false;
};

}  // namespace tine::cli
