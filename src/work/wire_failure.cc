// SPDX-License-Identifier: MIT
#include "work/wire_failure.h"

#include <cxxabi.h>

#include <exception>
#include <new>

namespace tine {

namespace work {

std::optional<std::string> foreign_exception() {
  try {
    throw;
  } catch (const WireFailure&) {
    return std::nullopt;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const abi::__forced_unwind&) {  // pthread_cancel: glibc ends the process if it is kept
    throw;
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

std::string place(const detail::WirePath& path) {
  const std::string text = path.text();
  return text.empty() ? text : "at " + text;
}

}  // namespace work

std::string detail::WirePath::text() const {
  std::string text;
  for (unsigned i = 0; i < depth_; ++i) {
    const std::string index = std::to_string(steps_[i].index);
    switch (steps_[i].step) {
      case Step::member: text += "." + index; break;
      case Step::element: text += "[" + index + "]"; break;
      case Step::key: text += "{" + index + "}.key"; break;
      case Step::mapped: text += "{" + index + "}.value"; break;
      case Step::codec: break;
    }
  }
  return text;
}

}  // namespace tine
