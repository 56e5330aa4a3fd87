// SPDX-License-Identifier: MIT
#pragma once

/// Which job of a batch is next, and in which slot.
///
/// A job has its slot from here, where its command may be made for that number, until release():
/// also while it waits for another attempt, so that no other job runs under the same number. What
/// waits is started before anything new, so no more slots are taken than jobs may run at once.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "command/callback_guard.h"
#include "command/job_attempt.h"
#include "command/slot_numbers.h"
#include "tine/batch.h"

namespace tine::command {

class JobSupply {
 public:
  /// Requires: `callbacks` outlives it.
  JobSupply(Batch::Source source, CallbackGuard& callbacks);

  void add(Command command);
  /// Behind what waits already.
  void retry(JobAttempt failed) { waiting_.push_back(std::move(failed)); }
  /// Before everything else: the system refused to start it now.
  void postpone(JobAttempt refused) { waiting_.push_front(std::move(refused)); }

  /// Nothing when there is none now; `new_ones` false: only of those that wait.
  [[nodiscard]] std::optional<JobAttempt> next(bool new_ones);
  void release(std::size_t slot) { slots_.release(slot); }

  /// Nothing more from here on. Gives those that have failed and were to be tried again; their
  /// slots are free.
  [[nodiscard]] std::vector<JobAttempt> stop();
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }
  /// Nothing more will come, unless it is added.
  [[nodiscard]] bool exhausted() const noexcept;

 private:
  bool find_new(Batch::Job& job);

  Batch::Source source_;
  CallbackGuard& callbacks_;
  std::deque<Batch::Job> added_;
  std::deque<JobAttempt> waiting_;
  SlotNumbers slots_;
  std::uint64_t next_index_ = 0;
  bool source_ended_ = false;
  bool stopped_ = false;
};

}  // namespace tine::command
