// SPDX-License-Identifier: MIT
#include "work/option_check.h"

#include <chrono>
#include <utility>

#include "work/worker_count.h"

namespace tine::work {
namespace {

class Check {
 public:
  Check& not_negative(const char* name, std::chrono::nanoseconds time) {
    if (time.count() < 0) refuse(name, "is negative");
    return *this;
  }
  Check& at_least(const char* name, int number, int least) {
    if (number < least) {
      refuse(name, "is " + std::to_string(number) + ", less than " + std::to_string(least));
    }
    return *this;
  }
  /// Also false for what is no number.
  Check& is_share(const char* name, double share) {
    if (!(share >= 0 && share <= 1)) refuse(name, "is not between 0 and 1");
    return *this;
  }
  Check& workers(int number) {
    at_least("workers", number, 0);
    if (wrong_.empty()) wrong_ = wrong_worker_count(number);
    return *this;
  }
  /// What all kinds of options have.
  template <class Options>
  Check& common(const Options& options) {
    return not_negative("timeout", options.timeout)
        .not_negative("grace", options.grace)
        .at_least("retries", options.retries, 0);
  }
  [[nodiscard]] std::optional<Error> result(const std::string& subject) {
    if (wrong_.empty()) return std::nullopt;
    return Error{ErrorKind::invalid_argument, 0, Stage::prepare, subject, std::move(wrong_)};
  }

 private:
  void refuse(const char* name, const std::string& what) {
    if (wrong_.empty()) wrong_ = std::string(name) + " " + what;
  }

  std::string wrong_;
};

}  // namespace

std::optional<Error> senseless(const CallOptions& options, const std::string& subject) {
  return Check().common(options).result(subject);
}

std::optional<Error> senseless(const MapOptions& options, const std::string& subject) {
  return Check()
      .common(options)
      .workers(options.workers)
      .not_negative("total_timeout", options.total_timeout)
      .at_least("crash_retries", options.crash_retries, -1)
      .is_share("stop.share", options.stop.share)
      .not_negative("progress_interval", options.progress_interval)
      .result(subject);
}

std::optional<Error> senseless(const LazyMapOptions& options, const std::string& subject) {
  return Check().common(options).workers(options.workers).result(subject);
}

std::optional<Error> senseless(const PoolOptions& options, const std::string& subject) {
  return Check()
      .common(options)
      .workers(options.workers)
      .at_least("crash_retries", options.crash_retries, -1)
      .at_least("memory_retries", options.memory_retries, -1)
      .not_negative("recycle.after_age", options.recycle.after_age)
      .not_negative("idle_timeout", options.idle_timeout)
      .not_negative("shutdown_grace", options.shutdown_grace)
      .not_negative("init_timeout", options.init_timeout)
      .result(subject);
}

std::optional<Error> senseless(const detail::TaskRequest& request) {
  if (request.timeout.count() >= 0 && request.retries >= 0) [[likely]]
    return std::nullopt;
  return Check()
      .not_negative("timeout", request.timeout)
      .at_least("retries", request.retries, -1)
      .result(request.name.empty() ? "a task" : std::string(request.name));
}

}  // namespace tine::work
