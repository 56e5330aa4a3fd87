// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <utility>
#include <vector>

namespace tine::command {

/// Calls the user's functions in the middle of our bookkeeping, which an exception must not cut
/// short: what they throw is kept until rethrow().
class CallbackGuard {
 public:
  /// False: nobody is called any more.
  template <class Function>
  bool call(Function&& function) {
    if (closed_) return false;
    try {
      std::forward<Function>(function)();
    } catch (...) {
      thrown_.push_back(std::current_exception());
    }
    return true;
  }

  /// What the functions refer to may be gone from here on.
  void close() noexcept { closed_ = true; }

  /// Throws the first exception that is kept; the others stay.
  void rethrow() {
    if (thrown_.empty()) return;
    const std::exception_ptr first = std::move(thrown_.front());
    thrown_.erase(thrown_.begin());
    std::rethrow_exception(first);
  }

 private:
  std::vector<std::exception_ptr> thrown_;
  bool closed_ = false;
};

}  // namespace tine::command
