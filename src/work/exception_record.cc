// SPDX-License-Identifier: MIT
#include "work/exception_record.h"

#include <cxxabi.h>

#include <string_view>
#include <typeinfo>
#include <utility>

#include "os/demangle.h"

namespace tine::work {

namespace {

/// Without the class that std::throw_with_nested puts around the one that was meant.
std::string type_text(const char* name) {
  const std::string type = os::demangled(name);
  constexpr std::string_view kWrapper = "std::_Nested_exception<";
  if (!type.starts_with(kWrapper) || !type.ends_with('>')) return type;
  return type.substr(kWrapper.size(), type.size() - kWrapper.size() - 1);
}

std::string type_in_flight() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type != nullptr ? type_text(type->name()) : "unknown type";
}

/// What `exception` was thrown because of, and that in turn, outermost first.
void add_causes(const std::exception& exception, std::vector<Thrown>& causes) {
  constexpr std::size_t kMost = 32;
  if (causes.size() == kMost) return;
  try {
    std::rethrow_if_nested(exception);
  } catch (const std::exception& cause) {
    causes.push_back({type_text(typeid(cause).name()), cause.what()});
    add_causes(cause, causes);
  } catch (...) {
    causes.push_back({type_in_flight(), {}});
  }
}

}  // namespace

ExceptionRecord record_of(const std::exception& exception) {
  ExceptionRecord record{type_text(typeid(exception).name()), exception.what(), {}};
  add_causes(exception, record.causes);
  return record;
}

ExceptionRecord record_in_flight() { return {type_in_flight(), {}, {}}; }

void describe(ExceptionRecord record, Failure& failure) {
  failure.type = std::move(record.type);
  failure.message = std::move(record.message);
  failure.causes = std::move(record.causes);
}

}  // namespace tine::work
