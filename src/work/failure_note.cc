// SPDX-License-Identifier: MIT
#include "work/failure_note.h"

#include <new>
#include <utility>

#include "tine/codec.h"
#include "tine/detail/pool_task.h"
#include "work/exception_record.h"
#include "work/symbolise.h"

namespace tine::work {

void FailureNote::set_end(const std::expected<Finished, Error>& finished) {
  if (!finished) {
    obstacle = finished.error().to_string();
    return;
  }
  code = finished->status.code();
  signal = finished->status.signal();
  core_dumped = finished->status.core_dumped();
  usage = finished->usage;
}

Failure FailureNote::to_failure() const {
  Failure failure;
  failure.cause = cause;
  if (obstacle) {
    failure.error = Error{ErrorKind::system, 0, Stage::wait, "a worker", *obstacle};
  }
  if (code) failure.status = ExitStatus::exited(*code);
  if (signal) failure.status = ExitStatus::signaled(*signal, core_dumped);
  failure.type = type;
  failure.message = message;
  failure.causes = causes;
  failure.stderr_tail = stderr_tail;
  if (!frames.empty()) {
    const std::vector<std::uintptr_t> addresses(frames.begin(), frames.end());
    tell_where(failure, addresses);
  }
  failure.elapsed = elapsed;
  failure.usage = usage;
  return failure;
}

namespace {

FailureNote note_of(ExceptionRecord record) {
  FailureNote note;
  note.cause = Cause::threw;
  note.type = std::move(record.type);
  note.message = std::move(record.message);
  note.causes = std::move(record.causes);
  return note;
}

FailureNote undecodable_note(const Error& error) {
  FailureNote note;
  note.cause = Cause::undecodable;
  note.message = error.to_string();
  return note;
}

}  // namespace

FailureNote failure_note(Cause cause, std::string message) {
  FailureNote note;
  note.cause = cause;
  note.message = std::move(message);
  return note;
}

FailureNote note_in_flight() {
  try {
    throw;
  } catch (const detail::BadArguments& bad) {
    return undecodable_note(bad.error);
  } catch (const detail::Unencodable& refused) {
    return undecodable_note(refused.error);
  } catch (const std::bad_alloc&) {
    FailureNote note;
    note.cause = Cause::out_of_memory;
    return note;
  } catch (const std::exception& exception) {
    return note_of(record_of(exception));
  } catch (...) {
    return note_of(record_in_flight());
  }
}

std::vector<std::byte> encoded_note(FailureNote note, std::size_t most) {
  for (;;) {
    auto bytes = encode(note).value_or(std::vector<std::byte>{});
    if (bytes.size() <= most) return bytes;
    // What is cut first is missed least.
    if (!note.causes.empty()) {
      note.causes.clear();
    } else if (!note.stderr_tail.empty()) {
      note.stderr_tail.clear();
    } else {
      note.frames.clear();
      note.message.resize(std::min<std::size_t>(note.message.size(), most / 4));
      note.type.resize(std::min<std::size_t>(note.type.size(), most / 4));
    }
  }
}

}  // namespace tine::work
