// SPDX-License-Identifier: MIT
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <string>

namespace tine::os {

/// `std::runtime_error` of `St13runtime_error`; what is no mangled name stays as it is.
inline std::string demangled(const char* symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string result = text != nullptr ? text : symbol;
  std::free(text);  // NOLINT: __cxa_demangle allocates with malloc
  return result;
}

}  // namespace tine::os
