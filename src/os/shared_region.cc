// SPDX-License-Identifier: MIT
#include "os/shared_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

#include "os/io.h"
#include "os/pages.h"
#include "os/pidfd.h"
#include "os/system_error.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; glibc 2.35
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1; glibc 2.37
#endif

namespace tine::os {

namespace {

using Address = std::uintptr_t;

void* pointer(Address at) noexcept {
  return reinterpret_cast<void*>(at);  // NOLINT(performance-no-int-to-ptr): rounded to its page
}

Address round_up(Address at, std::size_t to) noexcept { return (at + to - 1) / to * to; }

/// An errno, 0: done, or nothing can be.
int populate_pages(Address from, Address until) noexcept {
  if (from >= until) return 0;
  while (::madvise(pointer(from), until - from, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINVAL) return 0;
    if (errno != EINTR && errno != EAGAIN) return errno == EFAULT ? ENOMEM : errno;
  }
  return 0;
}

/// What large pages have saved, less what they cost, in nanoseconds. They are not asked for any
/// more in this process once it is used up: they were refused, or memory is in pieces, and the
/// kernel works for milliseconds on each. One that takes long among many that do not is worth its
/// time.
std::atomic<std::int64_t> credit_of_blocks{10'000'000};
constexpr std::int64_t kMostCredit = 20'000'000;
constexpr std::int64_t kSmallPages = 800'000;  // what a block takes without

void account_for_block(bool done, std::int64_t took) noexcept {
  const std::int64_t before = credit_of_blocks.load(std::memory_order_relaxed);
  const std::int64_t after = std::min(before + kSmallPages - took, kMostCredit);
  credit_of_blocks.store(done ? after : 0, std::memory_order_relaxed);
}

/// The clock of this thread's own work, which a busy machine does not hasten.
std::int64_t own_nanoseconds() noexcept {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

/// Makes a block one large page: 150 us where 512 small ones are 600 to 1,200.
///
/// Source: mm/khugepaged.c: where nothing is mapped yet MADV_COLLAPSE is EINVAL, so the first page
/// comes first. madvise(2): it goes by none of the settings for transparent huge pages.
bool populate_block(Address at) noexcept {
  if (credit_of_blocks.load(std::memory_order_relaxed) <= 0) return false;
  if (populate_pages(at, at + 1) != 0) return false;
  const std::int64_t began = own_nanoseconds();
  const bool done = ::madvise(pointer(at), kSharedBlock, MADV_COLLAPSE) == 0;
  account_for_block(done, own_nanoseconds() - began);
  return done;
}

/// Where a mapping of so many bytes can begin at a multiple of a block; nullptr: anywhere. A hint:
/// another thread may be faster.
void* aligned_place(std::size_t size) noexcept {
  if (size < kSharedBlock) return nullptr;
  const std::size_t wanted = size + kSharedBlock;
  void* const at =
      ::mmap(nullptr, wanted, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  ::munmap(at, wanted);
  return pointer(round_up(reinterpret_cast<Address>(at), kSharedBlock));
}

}  // namespace

namespace {

/// Of a file, or of -1: anonymous. nullptr: refused.
std::byte* map_shared(int file, std::size_t size) noexcept {
  void* const at = ::mmap(aligned_place(size), size, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_NORESERVE | (file < 0 ? MAP_ANONYMOUS : 0), file, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

std::unexpected<Error> no_memory(std::size_t size) {
  return failed(Stage::prepare, ENOMEM, std::to_string(size) + " bytes of shared memory");
}

}  // namespace

std::expected<SharedRegion, Error> SharedRegion::reserve(std::size_t most, std::size_t least) {
  for (std::size_t size = most; size >= least && size > 0; size /= 2) {
    if (std::byte* const at = map_shared(-1, size)) return SharedRegion(at, size);
  }
  return no_memory(least);
}

/// RLIMIT_FSIZE holds for files in memory as well.
std::expected<SharedRegion::WithFile, Error> SharedRegion::reserve_file(std::size_t most,
                                                                        std::size_t least) {
  Fd file = above_stdio(Fd{::memfd_create("tine-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING)});
  if (!file) return failed(Stage::prepare, errno, "shared memory");
  for (std::size_t size = most; size >= least && size > 0; size /= 2) {
    if (set_file_size(file.get(), static_cast<off_t>(size)) != 0) continue;
    if (std::byte* const at = map_shared(file.get(), size)) {
      // Whoever is handed the file could cut it short, and all that touch it would die of SIGBUS.
      [[maybe_unused]] const int sealed =
          ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
      return WithFile{std::move(file), SharedRegion(at, size)};
    }
  }
  return no_memory(least);
}

std::expected<SharedRegion, Error> SharedRegion::attach(int file) {
  struct stat found{};
  if (::fstat(file, &found) != 0) return failed(Stage::prepare, errno, "shared memory");
  const auto size = static_cast<std::size_t>(found.st_size);
  if (std::byte* const at = map_shared(file, size)) return SharedRegion(at, size);
  return no_memory(size);
}

void prefer_large_pages(void* memory, std::size_t size) noexcept {
  const Address begin = round_up(reinterpret_cast<Address>(memory), kSharedBlock);
  const Address end = (reinterpret_cast<Address>(memory) + size) / kSharedBlock * kSharedBlock;
  if (begin < end) ::madvise(pointer(begin), end - begin, MADV_HUGEPAGE);
}

SharedRegion::~SharedRegion() {
  if (at_ != nullptr) ::munmap(at_, size_);
}

int SharedRegion::populate(std::size_t offset, std::size_t size) const noexcept {
  return SharedPart(*this).populate(offset, size);
}

int SharedPart::populate(std::size_t offset, std::size_t size) const noexcept {
  const std::size_t all = bytes_.size();
  if (size > all || offset > all - size) return ENOMEM;
  if (size == 0) return 0;
  const auto begin = reinterpret_cast<Address>(bytes_.data() + offset);
  const Address end = begin + size;
  Address from = pages_within(begin);
  const Address first_block = round_up(from, kSharedBlock);
  if (first_block < end && end - first_block >= kSharedBlock) {
    if (const int refused = populate_pages(from, first_block); refused != 0) return refused;
    from = first_block;
    while (end - from >= kSharedBlock && populate_block(from)) from += kSharedBlock;
  }
  return populate_pages(from, end);
}

}  // namespace tine::os
