// SPDX-License-Identifier: MIT
#include "command/failure.h"

#include "command/words.h"

namespace tine::command {

namespace {

std::string name_of(const detail::CommandSpec& spec) {
  return spec.argv.empty() ? std::string{} : std::string(base_name(spec.argv[0]));
}

}  // namespace

Failure not_started(const detail::CommandSpec& spec, Error error) {
  Failure failure;
  failure.cause = Cause::not_started;
  failure.subject = name_of(spec);
  failure.error = std::move(error);
  return failure;
}

Failure failed_run(const detail::CommandSpec& spec, Cause cause, const Finished& finished,
                   std::string output, std::string_view errors) {
  constexpr std::size_t kTail = 4096;
  Failure failure;
  failure.cause = cause;
  failure.status = finished.status;
  failure.usage = finished.usage;
  failure.elapsed = finished.usage.wall;
  failure.subject = name_of(spec);
  failure.output = std::move(output);
  failure.stderr_tail = errors.substr(errors.size() > kTail ? errors.size() - kTail : 0);
  return failure;
}

Cause cause_of(ExitStatus status) noexcept {
  return status.signal() ? Cause::signaled : Cause::exited;
}

}  // namespace tine::command
