// SPDX-License-Identifier: MIT
#pragma once

/// The memory through which a function child tells how it went.
///
/// One region, made before the fork: first a word and a length, then the report of a crash, then
/// the payload: the value, or a record of the exception. The child writes the payload first and the
/// word last, so a word that is set vouches for a payload that is complete, whatever happens to the
/// child afterwards. The parent looks at it when the child is gone, and trusts no number in it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "os/shared_region.h"
#include "tine/call.h"
#include "tine/error.h"
#include "work/crash_report.h"
#include "work/exception_record.h"
#include "work/region_sink.h"

namespace tine::work {

/// How far the child has come.
enum class CallStage : std::uint32_t {
  running,        ///< and nothing else, if it ends like this
  value,          ///< the payload is the value
  threw,          ///< the payload is an ExceptionRecord
  unencodable,    ///< the payload is an Error's text: the value could not be written
  out_of_memory,  ///< bad_alloc left the function
  refused,        ///< the payload is an Error's text: nothing has been run
  not_begun,      ///< a child that is no copy has not found the channel yet
  ended           ///< by its parent, before it had anything to say
};

class CallChannel {
 public:
  /// Which processes can have the memory.
  enum class Reach : unsigned char {
    copies,       ///< those that are forked from this one
    any_process,  ///< whoever is handed file()
  };
  /// Errors: out_of_memory, too_many_files.
  static std::expected<CallChannel, Error> create(Reach reach = Reach::copies);
  /// In a child that is no copy.
  static std::expected<CallChannel, Error> attach(int file);
  /// Before such a child begins: what it finds there until it writes its value.
  /// Errors: out_of_memory.
  [[nodiscard]] std::expected<void, Error> put_arguments(std::span<const std::byte> bytes) const;
  [[nodiscard]] std::span<const std::byte> arguments(std::uint64_t size) const noexcept;
  /// What it attaches; -1 for a channel for copies.
  [[nodiscard]] int file() const noexcept;

  /// In the child: runs `body` and says how it went. Gives the exit code.
  int run(const detail::CallBody& body) const noexcept;

  /// Instead: why it cannot run anything. Gives the exit code.
  int refuse(const Error& error) const noexcept;

  /// Where the child tells where it is.
  [[nodiscard]] CrashReport& report() const noexcept;

  /// In the parent: the child is about to be ended, and has nothing to say any more. Gives the
  /// stage that it has come to: `running` or `not_begun` if it had not said anything.
  CallStage end() const noexcept;

  /// In the parent, when the child is gone.
  [[nodiscard]] CallStage stage() const noexcept;
  [[nodiscard]] std::span<const std::byte> payload() const noexcept;
  /// The region, for whoever reads the payload in place.
  [[nodiscard]] std::shared_ptr<const void> owner() const noexcept { return region_; }
  /// The child is gone, with all that it started: the next call may have the memory once nobody
  /// reads the payload any more, if no more than its first page was used. Making a mapping and
  /// undoing it costs 20 us.
  void allow_reuse() noexcept;
  /// In a child that is not to reach what waits for the next call.
  static void drop_inherited_spares() noexcept;

 private:
  struct Region;
  struct Head {
    std::atomic<CallStage> stage{CallStage::running};
    std::atomic<std::uint64_t> size{0};
  };
  static_assert(std::atomic<CallStage>::is_always_lock_free);
  /// As well aligned as a payload's elements may want to be.
  static constexpr std::size_t kReportOffset = 64;
  static constexpr std::size_t kPayloadOffset = 1792;
  static_assert(kReportOffset + sizeof(CrashReport) <= kPayloadOffset && kPayloadOffset % 64 == 0);
  static constexpr std::size_t kFirstPage = 4096;

  void begin() const noexcept;
  void enter(CallStage stage) const noexcept;
  [[nodiscard]] Head& head() const noexcept;
  [[nodiscard]] RegionSink sink() const noexcept;
  void conclude(CallStage stage, std::size_t end) const noexcept;
  void run_body(const detail::CallBody& body) const;
  void tell(const ExceptionRecord& record) const;
  void tell_exception() const noexcept;

  void conclude_with(CallStage stage, const std::string& text) const;

  std::shared_ptr<Region> region_;
};

}  // namespace tine::work
