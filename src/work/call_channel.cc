// SPDX-License-Identifier: MIT
#include "work/call_channel.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "os/fork_generation.h"
#include "os/own_fds.h"
#include "os/system_error.h"
#include "os/young_child.h"
#include "tine/detail/called_in.h"
#include "work/exception_record.h"
#include "work/region_sink.h"
#include "work/spares.h"
#include "work/to_be_ended.h"

namespace tine::work {

namespace {

constinit Spares<os::SharedRegion, 4> spare_call_regions;

}  // namespace

struct CallChannel::Region {
  explicit Region(os::SharedRegion given, Fd given_file = {}) noexcept
      : memory(std::move(given)), file(std::move(given_file)) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region() {
    if (reusable && generation == os::fork_generation()) spare_call_regions.give(std::move(memory));
  }

  os::SharedRegion memory;
  Fd file;  ///< for whoever attaches it
  const std::uint32_t generation = os::fork_generation();
  bool reusable = false;
};

namespace {

constexpr std::size_t kMostReserved = std::size_t{64} << 30;  // of address space
constexpr std::size_t kLeast = std::size_t{64} << 10;

}  // namespace

void CallChannel::begin() const noexcept {
  new (region_->memory.data()) Head;
  new (region_->memory.data() + kReportOffset) CrashReport{};
}

std::expected<CallChannel, Error> CallChannel::create(Reach reach) {
  CallChannel channel;
  if (reach == Reach::any_process) {
    auto made = os::SharedRegion::reserve_file(kMostReserved, kLeast);
    if (!made) return std::unexpected(made.error());
    os::note_own(made->file.get());
    channel.region_ = std::make_shared<Region>(std::move(made->region), std::move(made->file));
  } else if (auto spare = spare_call_regions.take()) {
    channel.region_ = std::make_shared<Region>(std::move(*spare));
  } else {
    auto reserved = os::SharedRegion::reserve(kMostReserved, kLeast);
    if (!reserved) return std::unexpected(reserved.error());
    channel.region_ = std::make_shared<Region>(std::move(*reserved));
  }
  channel.begin();
  if (reach == Reach::any_process) channel.head().stage.store(CallStage::not_begun);
  return channel;
}

std::expected<void, Error> CallChannel::put_arguments(std::span<const std::byte> bytes) const {
  RegionSink to = sink();
  if (to.append(bytes)) return {};
  return os::failed(Stage::prepare, ENOMEM, "the arguments of a call");
}

std::span<const std::byte> CallChannel::arguments(std::uint64_t size) const noexcept {
  const std::uint64_t most = region_->memory.size() - kPayloadOffset;
  return {region_->memory.data() + kPayloadOffset, static_cast<std::size_t>(std::min(size, most))};
}

int CallChannel::file() const noexcept { return region_->file.get(); }

std::expected<CallChannel, Error> CallChannel::attach(int file) {
  auto region = os::SharedRegion::attach(file);
  if (!region) return std::unexpected(region.error());
  CallChannel channel;
  channel.region_ = std::make_shared<Region>(std::move(*region));
  channel.enter(CallStage::running);
  return channel;
}

void CallChannel::allow_reuse() noexcept {
  if (region_->file) return;  // a descriptor that is kept would be somebody's surprise
  if (region_->memory.size() < kMostReserved) return;  // address space is short
  region_->reusable = payload().size() <= kFirstPage - kPayloadOffset;
}

void CallChannel::drop_inherited_spares() noexcept { spare_call_regions.drop_inherited(); }

TINE_YOUNG_CHILD CallChannel::Head& CallChannel::head() const noexcept {
  return *std::launder(reinterpret_cast<Head*>(region_->memory.data()));
}

/// Behind the head; the first page is there, so a small value costs no further call.
TINE_YOUNG_CHILD RegionSink CallChannel::sink() const noexcept {
  constexpr std::size_t kLargestStep = std::size_t{64} << 20;
  return {region_->memory, kPayloadOffset, kFirstPage, kLargestStep};
}

/// In the child, unless its parent has ended it.
TINE_YOUNG_CHILD void CallChannel::enter(CallStage stage) const noexcept {
  CallStage before = head().stage.load(std::memory_order_relaxed);
  while (before != CallStage::ended) {
    if (head().stage.compare_exchange_weak(before, stage, std::memory_order_acq_rel)) return;
  }
  wait_to_be_ended();
}

CallStage CallChannel::end() const noexcept {
  CallStage before = stage();
  while (before == CallStage::running || before == CallStage::not_begun) {
    if (head().stage.compare_exchange_weak(before, CallStage::ended, std::memory_order_acq_rel)) {
      break;
    }
  }
  return before;
}

TINE_YOUNG_CHILD void CallChannel::conclude(CallStage stage, std::size_t end) const noexcept {
  head().size.store(end - kPayloadOffset, std::memory_order_relaxed);
  enter(stage);
}

TINE_YOUNG_CHILD void CallChannel::run_body(const detail::CallBody& body) const {
  RegionSink value = sink();
  const detail::CalledIn process;
  auto written = body(value);
  process.end_if_copied();
  if (written) return conclude(CallStage::value, value.position());
  conclude_with(CallStage::unencodable, written.error().to_string());
}

/// From the beginning again.
void CallChannel::conclude_with(CallStage stage, const std::string& text) const {
  RegionSink to = sink();
  [[maybe_unused]] const auto told = detail::write_payload<std::string>(text, to);
  conclude(stage, to.position());
}

int CallChannel::refuse(const Error& error) const noexcept {
  conclude_with(CallStage::refused, error.to_string());
  return 1;
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

TINE_YOUNG_CHILD int CallChannel::run(const detail::CallBody& body) const noexcept {
  const detail::CalledIn process;
  try {
    run_body(body);
    return 0;
  } catch (...) {
    process.end_if_copied();
    tell_exception();
    return 1;
  }
}

TINE_YOUNG_CHILD CrashReport& CallChannel::report() const noexcept {
  std::byte* const at = region_->memory.data() + kReportOffset;
  return *std::launder(reinterpret_cast<CrashReport*>(at));
}

CallStage CallChannel::stage() const noexcept {
  const CallStage stage = head().stage.load(std::memory_order_acquire);
  return stage <= CallStage::ended ? stage : CallStage::running;
}

std::span<const std::byte> CallChannel::payload() const noexcept {
  const std::uint64_t said = head().size.load(std::memory_order_relaxed);
  const std::uint64_t most = region_->memory.size() - kPayloadOffset;
  return {region_->memory.data() + kPayloadOffset, static_cast<std::size_t>(std::min(said, most))};
}

}  // namespace tine::work
