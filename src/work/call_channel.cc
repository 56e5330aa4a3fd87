// SPDX-License-Identifier: MIT
#include "work/call_channel.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "os/demangle.h"
#include "os/own_pid.h"

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

/// Appends behind the head; pages are asked for before they are written.
class CallChannel::Sink final : public detail::ByteSink {
 public:
  explicit Sink(const os::SharedRegion& region) : region_(region) {
    std::byte* const begin = region.data() + kPayloadOffset;
    // The first page is there: the head is in it. So a small value costs no further call.
    window(begin, region.data() + std::min(kFirstPage, region.size()));
  }
  [[nodiscard]] std::size_t size() const noexcept {
    return static_cast<std::size_t>(next() - region_.data()) - kPayloadOffset;
  }

 private:
  static constexpr std::size_t kLargestStep = std::size_t{64} << 20;

  bool grow(std::size_t size) override {
    const auto used = static_cast<std::size_t>(next() - region_.data());
    const std::size_t room = region_.size() - used;
    if (size > room) {
      set_errno(ENOMEM);
      return false;
    }
    const std::size_t wanted = std::min(room, std::max(size, std::min(used, kLargestStep)));
    const int refused = region_.populate(used, wanted);
    if (refused != 0) {
      set_errno(refused);
      return false;
    }
    window(next(), next() + wanted);
    return true;
  }

  const os::SharedRegion& region_;
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

void CallChannel::conclude(CallStage stage, const Sink& sink) const noexcept {
  head().size.store(sink.size(), std::memory_order_relaxed);
  head().stage.store(stage, std::memory_order_release);
}

void CallChannel::run_body(const detail::CallBody& body) const {
  Sink sink(region_->memory);
  auto written = body(sink);
  if (written) return conclude(CallStage::value, sink);
  Sink text(region_->memory);  // from the beginning again
  [[maybe_unused]] const auto told =
      detail::write_payload<std::string>(written.error().to_string(), text);
  conclude(CallStage::unencodable, text);
}

void CallChannel::tell_exception(const std::exception& exception) const noexcept {
  Sink sink(region_->memory);
  try {
    ExceptionRecord record{type_text(typeid(exception).name()), exception.what(), {}};
    add_causes(exception, record.causes);
    [[maybe_unused]] const auto told = detail::write_payload<ExceptionRecord>(record, sink);
    conclude(CallStage::threw, sink);
  } catch (const std::bad_alloc&) {
    conclude(CallStage::out_of_memory, sink);
  }
}

void CallChannel::tell_unknown_exception() const noexcept {
  Sink sink(region_->memory);
  try {
    [[maybe_unused]] const auto told =
        detail::write_payload<ExceptionRecord>({type_in_flight(), {}, {}}, sink);
    conclude(CallStage::threw, sink);
  } catch (const std::bad_alloc&) {
    conclude(CallStage::out_of_memory, sink);
  }
}

int CallChannel::run(const detail::CallBody& body) const noexcept {
  try {
    run_body(body);
    return 0;
  } catch (const std::bad_alloc&) {
    conclude(CallStage::out_of_memory, Sink(region_->memory));
  } catch (const std::exception& exception) {
    tell_exception(exception);
  } catch (...) {
    tell_unknown_exception();
  }
  return 1;
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
