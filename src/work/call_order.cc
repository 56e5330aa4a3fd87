// SPDX-License-Identifier: MIT
#include "work/call_order.h"

#include <utility>

#include "tine/codec.h"
#include "work/child_order.h"
#include "work/crash_report.h"
#include "work/elsewhere.h"
#include "work/memory_limit.h"

namespace tine::work {

namespace {

struct CallOrder {
  std::uint64_t thunk = 0;      ///< the host's address of it
  std::uint64_t arguments = 0;  ///< how many bytes they are, in the channel
  std::uint64_t memory = 0;
  bool core_dump = false;
};

}  // namespace

std::expected<Child, Error> start_call_elsewhere(const CallOptions& options,
                                                 const detail::PortableCall& call,
                                                 const CallChannel& channel,
                                                 const ChildErrors& errors) {
  const auto thunk = reinterpret_cast<Code>(call.thunk);
  ChildOrder order{.kind = OrderKind::call};
  for (const Code function : {thunk, call.function}) {
    if (auto added = add_code(order, function); !added) return std::unexpected(added.error());
  }
  auto body = encode(CallOrder{.thunk = reinterpret_cast<std::uint64_t>(thunk),
                               .arguments = call.arguments.size(),
                               .memory = options.memory,
                               .core_dump = options.core_dump});
  if (!body) return std::unexpected(body.error());
  if (auto put = channel.put_arguments(call.arguments); !put) return std::unexpected(put.error());
  order.body = std::move(*body);
  const LaunchOptions how{.timeout = options.timeout,
                          .grace = options.grace,
                          .name = options.name,
                          .inherit_stdin = options.inherit_stdin,
                          .leave_descendants = options.leave_descendants};
  const int file = channel.file();
  return start_elsewhere(options.start, how, std::move(order), errors.file(), std::span(&file, 1),
                         options.cancel);
}

int run_call_order(std::span<const std::byte> body, std::vector<Fd> fds,
                   const std::optional<Error>& unknown) {
  const auto order = decode<CallOrder>(body);
  if (!order || fds.empty()) return kBadOrder;
  const auto channel = CallChannel::attach(fds.front().get());
  if (!channel) return kBadOrder;
  fds.clear();
  if (unknown) return channel->refuse(*unknown);
  channel->report().modules.fill();
  install_crash_handlers(channel->report(), order->core_dump ? CoreDump::yes : CoreDump::no);
  if (order->memory > 0) limit_memory(order->memory);
  const auto hosts = reinterpret_cast<detail::Code>(order->thunk);  // NOLINT: an address
  const auto thunk = reinterpret_cast<detail::PortableCall::Thunk>(detail::code_here(hosts));
  // The value comes where they were: by then they have been read.
  const auto arguments = channel->arguments(order->arguments);
  return channel->run([&](detail::ByteSink& sink) { return thunk(arguments, sink); });
}

}  // namespace tine::work
