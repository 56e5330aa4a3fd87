// SPDX-License-Identifier: MIT
#pragma once

/// What a pool does with a task, as the engine sees it: bytes in, a function, bytes out. Not part
/// of the interface; it may change in any release.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "tine/codec.h"
#include "tine/detail/codec_payload.h"
#include "tine/detail/map_body.h"
#include "tine/detail/portable.h"
#include "tine/error.h"

namespace tine::detail {

/// What one worker's part of a map finds: all of its items.
struct MapPart {
  std::span<const std::byte> inputs;
  std::size_t count;
};

/// In a worker: where a task puts its value, and says that it is there.
class TaskOutput {
 public:
  TaskOutput(const TaskOutput&) = delete;
  TaskOutput& operator=(const TaskOutput&) = delete;
  /// Memory for the value, which is written there. Once. Throws bad_alloc.
  [[nodiscard]] std::byte* place(std::size_t size) {
    process_.end_if_copied();
    size_ = size;
    if (size <= tiny_.size()) return tiny_.data();
    return size <= near_.size() ? near_.data() : far(size);
  }
  /// The value is whole: whoever waits for it has it, whatever becomes of this process.
  virtual void publish() noexcept = 0;

  // For a part of a map (pool_map.h).
  /// What is at the front of `arguments`, and taken away, says of which. Throws BadArguments.
  virtual MapPart begin_part(std::span<const std::byte>& arguments) = 0;
  /// Runs items of it, as long as there are any and nothing else is more urgent.
  virtual void run_part(MapBody& body) = 0;

 protected:
  TaskOutput(std::span<std::byte> tiny, std::span<std::byte> near, const CalledIn& worker) noexcept
      : tiny_(tiny), near_(near), process_(worker) {}
  ~TaskOutput() = default;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] virtual std::byte* far(std::size_t size) = 0;

 private:
  std::span<std::byte> tiny_;
  std::span<std::byte> near_;
  const CalledIn& process_;
  std::size_t size_ = 0;
};

/// Runs one kind of task on its arguments. What it throws is for the engine to catch.
using TaskThunk = void (*)(std::span<const std::byte> arguments, TaskOutput& output);

/// What decides about another attempt, in a worker.
using RetryIf = bool (*)(const Failure& failure);
using RetryDelay = std::chrono::nanoseconds (*)(int attempt);

// ---- Values as bytes ----

template <class R>
void write_value(const R& value, TaskOutput& output) {
  if constexpr (travels_raw<R>) {
    std::memcpy(output.place(sizeof value), &value, sizeof value);
  } else if constexpr (payload_kind<R>() == PayloadKind::range) {
    const auto bytes = std::as_bytes(std::span(value.data(), value.size()));
    std::byte* const to = output.place(bytes.size());
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  } else {
    const auto bytes = encode(value);
    if (!bytes) refuse(bytes.error());
    std::memcpy(output.place(bytes->size()), bytes->data(), bytes->size());
  }
}

template <class R>
std::expected<R, Error> read_value(std::span<const std::byte> bytes) {
  if constexpr (!travels_raw<R>) {
    return read_record<R>(bytes);
  } else {
    if (bytes.size() != sizeof(R)) return bad_payload(type_name<R>(), "its size is wrong");
    return value_from_bytes<R>(bytes);
  }
}

/// What a task is in a worker. The value is out before it and the arguments are destroyed: what
/// their destructors do is no affair of whoever waits for it.
template <class F, class R, class... Ts>
void run_task(std::span<const std::byte> bytes, TaskOutput& output) {
  F fn = read_function<F>(bytes);
  std::tuple<Ts...> arguments{read_argument<Ts>(bytes)...};
  if constexpr (std::is_void_v<R>) {
    std::apply(fn, std::move(arguments));
    output.publish();
  } else {
    const R value = std::apply(fn, std::move(arguments));
    write_value<R>(value, output);
    output.publish();
  }
}

// ---- The engine ----

class PoolCore;

/// Arguments that are so small are at hand when a task begins, which then needs one lock, not two.
inline constexpr std::size_t kSmallArguments = 48;

struct TaskRequest {
  TaskThunk thunk;
  Code function;                         ///< that is pointed to; nullptr: none is
  std::size_t size;                      ///< of its arguments
  const std::byte* arguments = nullptr;  ///< then it is submitted at once; nullptr: later
  std::chrono::nanoseconds timeout;
  int retries;
  int priority;  ///< 0 is the highest of three
  RetryIf retry_if = nullptr;
  RetryDelay retry_delay = nullptr;
  std::string_view name{};  ///< for failures to begin
};

/// A task that has been submitted, or is about to be. Owner: of its place in the pool's memory.
/// Threads: one, except that cancel() is safe beside wait_for(). Inert in a forked child.
class TaskHandle {
 public:
  TaskHandle() noexcept = default;
  TaskHandle(std::shared_ptr<PoolCore> core, std::uint32_t slot) noexcept
      : core_(std::move(core)), slot_(slot) {}
  TaskHandle(TaskHandle&& other) noexcept = default;
  TaskHandle& operator=(TaskHandle&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~TaskHandle() {
    if (core_) release();
  }
  [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

  /// Where the arguments are to be written before submit().
  [[nodiscard]] std::byte* arguments() const noexcept;
  /// They are there: workers may take it.
  void submit() noexcept;

  [[nodiscard]] bool wait_for(std::chrono::nanoseconds limit);
  bool cancel();
  [[nodiscard]] int fd();
  /// The bytes of its value, which stay until this handle goes. Blocks: until there is an outcome.
  Result<std::span<const std::byte>> finish(const std::string& name);

 private:
  void release() noexcept;

  std::shared_ptr<PoolCore> core_{};
  std::uint32_t slot_ = 0;
};

Failure undecodable_value(const std::string& name, Error error);

}  // namespace tine::detail
