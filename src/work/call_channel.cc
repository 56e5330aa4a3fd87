// SPDX-License-Identifier: MIT
#include "work/call_channel.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "os/own_pid.h"
#include "work/exception_record.h"
#include "work/region_sink.h"

namespace tine::work {

namespace {

/// Regions that wait for their next call. In a forked child they are the parent's: it starts anew.
class SpareRegions {
 public:
  os::SharedRegion take() {
    const std::lock_guard lock(mutex_);
    if (owner_ != os::own_pid() || regions_.empty()) return {};
    os::SharedRegion region = std::move(regions_.back());
    regions_.pop_back();
    return region;
  }
  void give(os::SharedRegion region) {
    constexpr std::size_t kMost = 4;
    const std::lock_guard lock(mutex_);
    if (owner_ != os::own_pid()) regions_.clear();
    owner_ = os::own_pid();
    if (regions_.size() < kMost) regions_.push_back(std::move(region));
  }

 private:
  std::mutex mutex_;
  pid_t owner_ = 0;
  std::vector<os::SharedRegion> regions_;
};

SpareRegions& spare_regions() {
  static SpareRegions spare;
  return spare;
}

}  // namespace

struct CallChannel::Region {
  explicit Region(os::SharedRegion given) noexcept : memory(std::move(given)) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region() {
    if (reusable && owner == os::own_pid()) spare_regions().give(std::move(memory));
  }

  os::SharedRegion memory;
  const pid_t owner = os::own_pid();
  bool reusable = false;
};

std::expected<CallChannel, Error> CallChannel::create() {
  constexpr std::size_t kMost = std::size_t{64} << 30;  // of address space
  constexpr std::size_t kLeast = std::size_t{64} << 10;
  os::SharedRegion memory = spare_regions().take();
  if (!memory) {
    auto reserved = os::SharedRegion::reserve(kMost, kLeast);
    if (!reserved) return std::unexpected(reserved.error());
    memory = std::move(*reserved);
  }
  CallChannel channel;
  channel.region_ = std::make_shared<Region>(std::move(memory));
  new (channel.region_->memory.data()) Head;
  new (channel.region_->memory.data() + kReportOffset) CrashReport{};
  return channel;
}

void CallChannel::allow_reuse() noexcept {
  region_->reusable = payload().size() <= kFirstPage - kPayloadOffset;
}

CallChannel::Head& CallChannel::head() const noexcept {
  return *std::launder(reinterpret_cast<Head*>(region_->memory.data()));
}

/// Behind the head; the first page is there, so a small value costs no further call.
RegionSink CallChannel::sink() const noexcept {
  constexpr std::size_t kLargestStep = std::size_t{64} << 20;
  return {region_->memory, kPayloadOffset, kFirstPage, kLargestStep};
}

void CallChannel::conclude(CallStage stage, std::size_t end) const noexcept {
  head().size.store(end - kPayloadOffset, std::memory_order_relaxed);
  head().stage.store(stage, std::memory_order_release);
}

void CallChannel::run_body(const detail::CallBody& body) const {
  RegionSink value = sink();
  auto written = body(value);
  if (written) return conclude(CallStage::value, value.position());
  RegionSink text = sink();  // from the beginning again
  [[maybe_unused]] const auto told =
      detail::write_payload<std::string>(written.error().to_string(), text);
  conclude(CallStage::unencodable, text.position());
}

void CallChannel::tell(const ExceptionRecord& record) const {
  RegionSink text = sink();
  [[maybe_unused]] const auto told = detail::write_payload<ExceptionRecord>(record, text);
  conclude(CallStage::threw, text.position());
}

/// In a handler. bad_alloc may also come from telling of another exception.
void CallChannel::tell_exception() const noexcept {
  try {
    try {
      throw;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& exception) {
      tell(record_of(exception));
    } catch (...) {
      tell(record_in_flight());
    }
  } catch (const std::bad_alloc&) {
    conclude(CallStage::out_of_memory, kPayloadOffset);
  }
}

int CallChannel::run(const detail::CallBody& body) const noexcept {
  try {
    run_body(body);
    return 0;
  } catch (...) {
    tell_exception();
    return 1;
  }
}

CrashReport& CallChannel::report() const noexcept {
  std::byte* const at = region_->memory.data() + kReportOffset;
  return *std::launder(reinterpret_cast<CrashReport*>(at));
}

CallStage CallChannel::stage() const noexcept {
  const CallStage stage = head().stage.load(std::memory_order_acquire);
  return stage <= CallStage::out_of_memory ? stage : CallStage::running;
}

std::span<const std::byte> CallChannel::payload() const noexcept {
  const std::uint64_t said = head().size.load(std::memory_order_relaxed);
  const std::uint64_t most = region_->memory.size() - kPayloadOffset;
  return {region_->memory.data() + kPayloadOffset, static_cast<std::size_t>(std::min(said, most))};
}

}  // namespace tine::work
