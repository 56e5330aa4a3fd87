// SPDX-License-Identifier: MIT
#include <array>
#include <cstring>

#include "os/shared_region.h"
#include "os/system_error.h"
#include "os/young_child.h"
#include "tine/detail/codec_payload.h"

namespace tine::detail {

namespace {

std::size_t offset_of_data(PayloadKind kind) {
  return kind == PayloadKind::range ? kRangeOffset : sizeof(PayloadHeader);
}

const char* name_of(PayloadKind kind) {
  switch (kind) {
    case PayloadKind::value: return "a value";
    case PayloadKind::range: return "a range";
    case PayloadKind::message: return "a message";
  }
  return "no kind of payload";
}

}  // namespace

/// Not for gigabytes: in a virtual machine, whose host probably had to find the memory first, 1 GiB
/// took twice as long in large pages as in small ones (docs/performance.md).
void prefer_large_pages(void* memory, std::size_t size) noexcept {
  constexpr std::size_t kMost = std::size_t{512} << 20;
  if (size >= kWorthLargePages && size <= kMost) os::prefer_large_pages(memory, size);
}

TINE_YOUNG_CHILD std::expected<void, Error> write_raw_payload(PayloadHeader header,
                                                              std::span<const std::byte> bytes,
                                                              ByteSink& sink,
                                                              std::string_view type) {
  const std::size_t offset = offset_of_data(header.kind);
  std::array<std::byte, kRangeOffset> head{};
  std::memcpy(head.data(), &header, sizeof header);
  if (sink.append(std::span(head).first(offset)) && sink.append(bytes)) return {};
  return os::failed(Stage::encode, sink.errno_value(), std::string(type));
}

std::expected<void, Error> write_payload_header(PayloadHeader header, ByteSink& sink,
                                                std::string_view type) {
  return write_raw_payload(header, {}, sink, type);
}

std::unexpected<Error> bad_payload(std::string_view type, std::string why) {
  return std::unexpected(
      Error{ErrorKind::undecodable, 0, Stage::decode, std::string(type), std::move(why)});
}

std::expected<std::span<const std::byte>, Error> open_payload(std::span<const std::byte> payload,
                                                              PayloadKind kind,
                                                              std::size_t element_size,
                                                              std::string_view type) {
  PayloadHeader header;
  const std::size_t offset = offset_of_data(kind);
  if (payload.size() < sizeof header) return bad_payload(type, "the payload ends in its header");
  std::memcpy(&header, payload.data(), sizeof header);
  if (header.kind != kind) {
    return bad_payload(
        type, std::string("expected ") + name_of(kind) + ", found " + name_of(header.kind));
  }
  if (payload.size() < offset) return bad_payload(type, "the payload ends in its header");
  const std::span<const std::byte> data = payload.subspan(offset);
  if (kind == PayloadKind::message) return data;
  if (header.element_size != element_size) {
    return bad_payload(type, "expected elements of " + std::to_string(element_size) +
                                 " bytes, found elements of " +
                                 std::to_string(header.element_size));
  }
  // By division: a product could wrap around.
  if (data.size() % element_size != 0 || data.size() / element_size != header.count ||
      (kind == PayloadKind::value && header.count != 1)) {
    return bad_payload(type, std::to_string(header.count) + " elements of " +
                                 std::to_string(element_size) + " bytes cannot be " +
                                 std::to_string(data.size()) + " bytes");
  }
  return data;
}

}  // namespace tine::detail
