// SPDX-License-Identifier: MIT
#include "work/host_code.h"

#include <mutex>
#include <unordered_map>
#include <utility>

#include "work/child_order.h"

namespace tine::work {

namespace {

struct HostCode {
  std::mutex mutex{};
  std::unordered_map<std::uintptr_t, Code> known{};
  CodeFinder finder{};
};

/// None in a copy of the host. Never freed: in a copy, another thread may have had its lock.
HostCode* host_code = nullptr;

HostCode& table() {
  if (host_code == nullptr) host_code = new HostCode;  // for as long as the process lives
  return *host_code;
}

std::uintptr_t number(Code code) noexcept { return reinterpret_cast<std::uintptr_t>(code); }

}  // namespace

std::expected<void, Error> learn_code(const CodeOfHost& hosts) {
  auto code = code_at(hosts.place);
  if (!code) return std::unexpected(std::move(code.error()));
  table().known.insert_or_assign(static_cast<std::uintptr_t>(hosts.address), *code);
  return {};
}

void forget_host_code() noexcept { host_code = nullptr; }

void ask_for_code(CodeFinder finder) { table().finder = std::move(finder); }

}  // namespace tine::work

namespace tine::detail {

Code code_here(Code hosts) {
  using namespace work;
  if (host_code == nullptr || hosts == nullptr) return hosts;
  const std::lock_guard lock(host_code->mutex);
  const auto found = host_code->known.find(number(hosts));
  if (found != host_code->known.end()) return found->second;
  if (!host_code->finder) {
    throw BadArguments{Error{ErrorKind::not_found, 0, Stage::prepare, "a function", {}}};
  }
  const auto place = host_code->finder(hosts);
  if (!place) throw BadArguments{place.error()};
  const auto code = code_at(*place);
  if (!code) throw BadArguments{code.error()};
  host_code->known.emplace(number(hosts), *code);
  return *code;
}

}  // namespace tine::detail
