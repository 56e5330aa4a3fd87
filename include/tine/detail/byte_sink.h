// SPDX-License-Identifier: MIT
#pragma once

/// Where encoded bytes go: memory that grows at its end. Not part of the interface; it may change
/// in any release.

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace tine::detail {

/// The bytes are one piece, but grow() may move it: nobody keeps a pointer across an extend().
class ByteSink {
 public:
  ByteSink(const ByteSink&) = delete;
  ByteSink& operator=(const ByteSink&) = delete;
  virtual ~ByteSink() = default;

  /// Room for `size` more bytes behind those before, not yet written; nullptr: refused, see
  /// errno_value().
  [[nodiscard]] std::byte* extend(std::size_t size) {
    if (size > static_cast<std::size_t>(end_ - next_) && !grow(size)) return nullptr;
    return std::exchange(next_, next_ + size);
  }

  /// Writes these behind those before. False: refused.
  [[nodiscard]] virtual bool append(std::span<const std::byte> bytes);

  /// Why the last extend() was refused.
  [[nodiscard]] int errno_value() const noexcept { return errno_value_; }

 protected:
  ByteSink() = default;

  /// Makes a window() with at least `size` bytes in it; false: set_errno() was told why not.
  virtual bool grow(std::size_t size) = 0;

  /// What the following extends are served from.
  void window(std::byte* next, std::byte* end) noexcept {
    next_ = next;
    end_ = end;
  }
  [[nodiscard]] std::byte* next() const noexcept { return next_; }
  void set_errno(int value) noexcept { errno_value_ = value; }

 private:
  std::byte* next_ = nullptr;
  std::byte* end_ = nullptr;
  int errno_value_ = 0;
};

/// Appends to a vector, which is longer than what was written until the sink is gone.
class VectorSink final : public ByteSink {
 public:
  explicit VectorSink(std::vector<std::byte>& bytes) : bytes_(&bytes) {
    window(bytes.data() + bytes.size(), bytes.data() + bytes.size());
  }
  ~VectorSink() override { bytes_->resize(written()); }

  /// Makes room for what is known to come, and no more.
  void reserve(std::size_t size) { lengthen(size); }

 private:
  [[nodiscard]] std::size_t written() const noexcept {
    return static_cast<std::size_t>(next() - bytes_->data());
  }
  void lengthen(std::size_t size);
  bool grow(std::size_t size) override;

  std::vector<std::byte>* bytes_;
};

}  // namespace tine::detail
