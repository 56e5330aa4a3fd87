// SPDX-License-Identifier: MIT
#pragma once

/// Memory that a process shares with the children it forks: no name, no descriptor, no file system;
/// and the same with a descriptor, for processes that are no copies of it.
///
/// Address space is reserved for as much as might ever be needed; pages come as they are touched.
/// That costs the same for 1 GiB as for 1 KiB, and a child can write more than its parent knew of
/// at the fork. Owner: whoever holds it last in a process unmaps it there.
/// Source: mmap(2), MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE; madvise(2), MADV_POPULATE_WRITE,
/// MADV_COLLAPSE

#include <cstddef>
#include <expected>
#include <span>
#include <utility>

#include "tine/error.h"
#include "tine/fd.h"

namespace tine::os {

/// What is populated in whole multiples of this (of its address, too) may become one large page,
/// which is several times as fast.
inline constexpr std::size_t kSharedBlock = std::size_t{2} << 20;

/// For memory of any kind, before it is touched. Source: madvise(2), MADV_HUGEPAGE
void prefer_large_pages(void* memory, std::size_t size) noexcept;

class SharedRegion {
 public:
  SharedRegion() noexcept = default;
  /// At most `most` bytes; less, where a limit on address space does not allow that.
  /// Errors: out_of_memory: not even `least` can be had.
  [[nodiscard]] static std::expected<SharedRegion, Error> reserve(std::size_t most,
                                                                  std::size_t least);
  /// The same behind a descriptor, which closes on exec and can be passed to whoever is to attach
  /// it. Errors: out_of_memory, too_many_files.
  struct WithFile;
  [[nodiscard]] static std::expected<WithFile, Error> reserve_file(std::size_t most,
                                                                   std::size_t least);
  /// All of a file that reserve_file() has made, here or elsewhere.
  [[nodiscard]] static std::expected<SharedRegion, Error> attach(int file);
  SharedRegion(SharedRegion&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SharedRegion& operator=(SharedRegion&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SharedRegion();

  [[nodiscard]] std::byte* data() const noexcept { return at_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] explicit operator bool() const noexcept { return at_ != nullptr; }
  /// From now on the caller unmaps it: size() bytes.
  [[nodiscard]] std::byte* release() noexcept { return std::exchange(at_, nullptr); }

  /// Gets the pages of a part before they are written, so that a lack of memory is an errno (0:
  /// done) and not a SIGBUS. Where the kernel cannot (before 5.14) nothing is done.
  [[nodiscard]] int populate(std::size_t offset, std::size_t size) const noexcept;

 private:
  SharedRegion(std::byte* at, std::size_t size) noexcept : at_(at), size_(size) {}
  std::byte* at_ = nullptr;
  std::size_t size_ = 0;
};

struct SharedRegion::WithFile {
  Fd file;
  SharedRegion region;
};

/// A part of a region, which somebody else owns.
class SharedPart {
 public:
  SharedPart() noexcept = default;
  explicit SharedPart(std::span<std::byte> bytes) noexcept : bytes_(bytes) {}
  SharedPart(const SharedRegion& region) noexcept  // NOLINT: all of it
      : bytes_(region.data(), region.size()) {}

  [[nodiscard]] std::byte* data() const noexcept { return bytes_.data(); }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  /// As SharedRegion::populate().
  [[nodiscard]] int populate(std::size_t offset, std::size_t size) const noexcept;

 private:
  std::span<std::byte> bytes_;
};

}  // namespace tine::os
