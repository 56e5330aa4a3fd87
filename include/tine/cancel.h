// SPDX-License-Identifier: MIT
#pragma once

/// One switch that stops many things: commands, batches, pipelines and waits that were given a
/// token end with `Cause::cancelled` (or `ErrorKind::cancelled`) soon after `cancel()`.
///
///     tine::CancelSource stop;
///     std::jthread ui([&] { wait_for_button(); stop.cancel(); });
///     auto r = tine::Command{"make", "-j8"}.cancel(stop.token()).run();
///
/// Threads: all of it. Signals: cancel() is async-signal-safe (one write to an eventfd).
/// After a fork: cancel() in the copy is the copy's own affair.

#include <memory>

namespace tine {

namespace detail {
struct CancelState;
}

/// What the work watches. Copies watch the same switch; a default one never fires.
class CancelToken {
 public:
  CancelToken() noexcept = default;
  [[nodiscard]] bool cancelled() const noexcept;
  /// Becomes readable when cancelled, for foreign event loops; -1 for a default token.
  [[nodiscard]] int fd() const noexcept;

 private:
  friend class CancelSource;
  explicit CancelToken(std::shared_ptr<detail::CancelState> state) noexcept;
  std::shared_ptr<detail::CancelState> state_;
};

/// The switch. Throws std::bad_alloc when no eventfd can be had.
class CancelSource {
 public:
  CancelSource();
  void cancel() noexcept;
  [[nodiscard]] CancelToken token() const noexcept;

 private:
  std::shared_ptr<detail::CancelState> state_;
};

}  // namespace tine
