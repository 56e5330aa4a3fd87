// SPDX-License-Identifier: MIT
#pragma once

/// A worker as whoever has forked it sees it: the process, what it writes to stderr, how far its
/// ending has come, and where it was. Owner: the process. Threads: one.

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "child/tree_stopper.h"
#include "tine/child.h"
#include "tine/error.h"
#include "tine/launch.h"
#include "work/child_errors.h"
#include "work/child_order.h"
#include "work/crash_report.h"
#include "work/memory_limit.h"

namespace tine::work {

class WorkerProcess {
 public:
  /// Why we end it.
  enum class Ending : unsigned char { none, timed_out, cancelled, out_of_memory };

  struct How {
    std::chrono::milliseconds grace{2000};
    std::string name{};
    ThreadPolicy threads = ThreadPolicy::refuse;
    CoreDump core = CoreDump::no;
    std::uint64_t memory = 0;  ///< that it may add to what it inherits; 0: no limit
  };

  /// Forks it; it runs `main`. Requires: none is here.
  /// Errors: those of launch(), and of memory for stderr.
  std::expected<void, Error> start(const How& how, CrashReport& crash,
                                   const std::function<int()>& main);
  /// Executes it: it runs `order`, with `fds`, and sees to its crash reports and limits itself.
  std::expected<void, Error> spawn(const How& how, ChildOrder order, std::span<const int> fds);

  [[nodiscard]] bool is_alive() const noexcept { return static_cast<bool>(child_); }
  [[nodiscard]] int fd() const noexcept { return child_.fd(); }
  [[nodiscard]] pid_t pid() const noexcept { return child_.pid(); }
  /// The last of what it wrote to stderr; empty when none has been started.
  [[nodiscard]] std::string errors_between(std::uint64_t from, std::uint64_t until) const;
  [[nodiscard]] std::string errors_since(std::uint64_t from) const;
  /// Passes on to our stderr what is new. False: that takes no more for now.
  bool pass_on_errors() noexcept;
  [[nodiscard]] std::uint64_t errors_passed_on() const noexcept;
  /// Whether it has more memory than it may, as a look now and then tells.
  [[nodiscard]] bool exceeds_memory() { return memory_.exceeded(); }
  [[nodiscard]] const MemoryWatch& memory() const noexcept { return memory_; }
  /// In a sibling: closes what is not its own.
  void forget() noexcept { errors_.reset(); }

  /// TERM to its tree. For a timeout it is asked first where it is: up to 100 ms.
  void end(Ending why, CrashReport& crash);
  void kill();
  [[nodiscard]] Ending ending() const noexcept { return ending_; }

  /// It has ended, or nothing can end it: what became of it. None is here afterwards. Its last
  /// words are passed on as ChildErrors::pass_on_rest() does; whether our stderr is stuck is asked
  /// and told by `stuck`.
  std::expected<Finished, Error> leave(bool& stuck);

  /// After leave(): where it was when its time was up, and why it did not say.
  [[nodiscard]] const std::optional<RawBacktrace>& where() const noexcept { return where_; }
  [[nodiscard]] const std::string& no_answer() const noexcept { return no_answer_; }

 private:
  std::expected<void, Error> begin();
  void began(const How& how, Child child);
  child::TreeStopper& tree();

  Child child_{};
  std::optional<ChildErrors> errors_{};
  MemoryWatch memory_{};
  std::optional<child::TreeStopper> tree_{};
  Ending ending_ = Ending::none;
  std::optional<RawBacktrace> where_{};
  std::string no_answer_{};
};

}  // namespace tine::work
