// SPDX-License-Identifier: MIT
#pragma once

/// How writing and reading items end early.

#include <optional>
#include <string>

#include "tine/detail/codec_wire.h"
#include "tine/error.h"

namespace tine::work {

/// Thrown by WireWriter::fail and WireReader::fail, which keep the Error.
struct WireFailure {};

/// Within a handler: what an exception that is not ours says; nothing for a WireFailure. A
/// bad_alloc goes on, and so does the end of a thread.
std::optional<std::string> foreign_exception();

/// Within a handler: `error`, which is there or is made of what foreign_exception() says: by
/// fail(why), which ends in a WireFailure.
template <class Fail>
Error error_in_flight(const std::optional<Error>& error, const Fail& fail) {
  const auto foreign = foreign_exception();
  if (foreign && !error) {
    try {
      fail(*foreign);
    } catch (const WireFailure&) {  // which was only to keep the Error
    }
  }
  return *error;
}

/// `at .2[3]`, or nothing for the value itself.
std::string place(const detail::WirePath& path);

}  // namespace tine::work
