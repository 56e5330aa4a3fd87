// SPDX-License-Identifier: MIT
#include "command/job_supply.h"

#include <utility>

namespace tine::command {

namespace {

template <class T>
T take_first(std::deque<T>& from) {
  T first = std::move(from.front());
  from.pop_front();
  return first;
}

}  // namespace

JobSupply::JobSupply(Batch::Source source, CallbackGuard& callbacks)
    : source_(std::move(source)), callbacks_(callbacks), source_ended_(!source_) {}

void JobSupply::add(Command command) {
  Batch::Job job;
  job.name = command.to_string();
  job.command = std::move(command);
  added_.push_back(std::move(job));
}

std::optional<JobAttempt> JobSupply::next(bool new_ones) {
  // Whatever else is held back: that may be waiting for this very job.
  if (!waiting_.empty()) return take_first(waiting_);
  if (stopped_ || !new_ones) return std::nullopt;
  const std::size_t slot = slots_.take();
  JobAttempt fresh;
  fresh.job.slot = slot;
  if (!find_new(fresh.job)) {
    slots_.release(slot);
    return std::nullopt;
  }
  fresh.job.slot = slot;  // not what the source, or the one who added it, has made of it
  fresh.job.index = next_index_++;
  return fresh;
}

bool JobSupply::find_new(Batch::Job& job) {
  if (!added_.empty()) {
    job = take_first(added_);
    return true;
  }
  if (source_ended_) return false;
  // Where it throws there is nothing yet, and it is asked again.
  Batch::Supply answer = Batch::Supply::wait;
  callbacks_.call([&] { answer = source_(job); });
  source_ended_ = answer == Batch::Supply::end;
  return answer == Batch::Supply::job;
}

std::vector<JobAttempt> JobSupply::stop() {
  stopped_ = true;
  std::vector<JobAttempt> failed;
  for (auto& attempt : std::exchange(waiting_, {})) {
    slots_.release(attempt.job.slot);
    if (attempt.failure) failed.push_back(std::move(attempt));
  }
  return failed;
}

bool JobSupply::exhausted() const noexcept {
  return waiting_.empty() && (stopped_ || (added_.empty() && source_ended_));
}

}  // namespace tine::command
