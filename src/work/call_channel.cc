// SPDX-License-Identifier: MIT
#include "work/call_channel.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <typeinfo>

namespace tine::work {

namespace {

std::string demangled(const char* name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string result = text != nullptr ? text : name;
  std::free(text);  // NOLINT: __cxa_demangle allocates with malloc
  return result;
}

std::string type_in_flight() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type != nullptr ? demangled(type->name()) : "unknown type";
}

/// What `exception` was thrown because of, and that in turn, outermost first.
void add_causes(const std::exception& exception, std::vector<Thrown>& causes) {
  constexpr std::size_t kMost = 32;
  if (causes.size() == kMost) return;
  try {
    std::rethrow_if_nested(exception);
  } catch (const std::exception& cause) {
    causes.push_back({demangled(typeid(cause).name()), cause.what()});
    add_causes(cause, causes);
  } catch (...) {
    causes.push_back({type_in_flight(), {}});
  }
}

}  // namespace

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
  static constexpr std::size_t kFirstPage = 4096;
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
  auto region = os::SharedRegion::reserve(kMost, kLeast);
  if (!region) return std::unexpected(region.error());
  CallChannel channel;
  channel.region_ = std::make_shared<os::SharedRegion>(std::move(*region));
  new (channel.region_->data()) Head;
  return channel;
}

CallChannel::Head& CallChannel::head() const noexcept {
  return *std::launder(reinterpret_cast<Head*>(region_->data()));
}

void CallChannel::conclude(CallStage stage, const Sink& sink) const noexcept {
  head().size.store(sink.size(), std::memory_order_relaxed);
  head().stage.store(stage, std::memory_order_release);
}

void CallChannel::run_body(const detail::CallBody& body) const {
  Sink sink(*region_);
  auto written = body(sink);
  if (written) return conclude(CallStage::value, sink);
  Sink text(*region_);  // from the beginning again
  [[maybe_unused]] const auto told =
      detail::write_payload<std::string>(written.error().to_string(), text);
  conclude(CallStage::unencodable, text);
}

void CallChannel::tell_exception(const std::exception& exception) const noexcept {
  Sink sink(*region_);
  try {
    ExceptionRecord record{demangled(typeid(exception).name()), exception.what(), {}};
    add_causes(exception, record.causes);
    [[maybe_unused]] const auto told = detail::write_payload<ExceptionRecord>(record, sink);
    conclude(CallStage::threw, sink);
  } catch (const std::bad_alloc&) {
    conclude(CallStage::out_of_memory, sink);
  }
}

void CallChannel::tell_unknown_exception() const noexcept {
  Sink sink(*region_);
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
    conclude(CallStage::out_of_memory, Sink(*region_));
  } catch (const std::exception& exception) {
    tell_exception(exception);
  } catch (...) {
    tell_unknown_exception();
  }
  return 1;
}

CallStage CallChannel::stage() const noexcept {
  const CallStage stage = head().stage.load(std::memory_order_acquire);
  return stage <= CallStage::out_of_memory ? stage : CallStage::running;
}

std::span<const std::byte> CallChannel::payload() const noexcept {
  const std::uint64_t said = head().size.load(std::memory_order_relaxed);
  const std::uint64_t most = region_->size() - kPayloadOffset;
  return {region_->data() + kPayloadOffset, static_cast<std::size_t>(std::min(said, most))};
}

}  // namespace tine::work
