// SPDX-License-Identifier: MIT
#include "work/modules.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace tine::work {

namespace {

constexpr std::uintptr_t align(std::uintptr_t number) noexcept { return (number + 3) & ~3UL; }

/// Looks for the build id in one note segment.
void read_notes(std::uintptr_t at, std::size_t size, Module& module) noexcept {
  const std::uintptr_t end = at + size;
  while (end - at >= sizeof(ElfW(Nhdr)) && at < end) {
    ElfW(Nhdr) head;
    std::memcpy(&head, reinterpret_cast<const void*>(at), sizeof head);  // NOLINT
    const std::uintptr_t name = at + sizeof head;
    const std::uintptr_t content = name + align(head.n_namesz);
    if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
        std::memcmp(reinterpret_cast<const void*>(name), "GNU", 4) == 0) {  // NOLINT
      const std::size_t length = std::min<std::size_t>(head.n_descsz, module.build_id.size());
      std::memcpy(module.build_id.data(), reinterpret_cast<const void*>(content),  // NOLINT
                  length);
      module.has_build_id = true;
      return;
    }
    at = content + align(head.n_descsz);
  }
}

int add_module(dl_phdr_info* info, std::size_t, void* to) {
  Module module;
  module.base = info->dlpi_addr;
  module.begin = std::numeric_limits<std::uintptr_t>::max();
  module.path = info->dlpi_name;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const std::uintptr_t at = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      module.begin = std::min(module.begin, at);
      module.end = std::max(module.end, at + segment.p_memsz);
    }
    if (segment.p_type == PT_NOTE && !module.has_build_id) {
      read_notes(at, segment.p_memsz, module);
    }
  }
  static_cast<std::vector<Module>*>(to)->push_back(std::move(module));
  return 0;
}

Error unplaced(std::string hint) {
  return {ErrorKind::not_found, 0, Stage::prepare, "the function in a process of its own",
          std::move(hint)};
}

std::optional<Code> find(std::string_view build_id, std::uint64_t offset) {
  for (const Module& module : modules_here()) {
    if (!module.has_build_id) continue;
    if (std::memcmp(module.build_id.data(), build_id.data(), build_id.size()) != 0) continue;
    const std::uintptr_t address = module.base + offset;
    if (!module.contains(address)) return std::nullopt;
    return reinterpret_cast<Code>(address);  // NOLINT(performance-no-int-to-ptr)
  }
  return std::nullopt;
}

}  // namespace

std::vector<Module> modules_here() {
  std::vector<Module> modules;
  ::dl_iterate_phdr(add_module, &modules);
  return modules;
}

std::expected<CodePlace, Error> place_of(Code function) {
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  for (const Module& module : modules_here()) {
    if (!module.contains(address)) continue;
    if (!module.has_build_id) {
      return std::unexpected(unplaced((module.path.empty() ? "this program" : module.path) +
                                      " has no build id: link it with -Wl,--build-id"));
    }
    const auto* const id = reinterpret_cast<const char*>(module.build_id.data());
    return CodePlace{{id, module.build_id.size()}, address - module.base, module.path};
  }
  return std::unexpected(unplaced("it belongs to no program or library"));
}

std::expected<Code, Error> code_at(const CodePlace& place) {
  if (place.build_id.size() != BuildId{}.size()) {
    return std::unexpected(unplaced("its build id is none"));
  }
  auto code = find(place.build_id, place.offset);
  if (!code && !place.path.empty() && ::dlopen(place.path.c_str(), RTLD_NOW) != nullptr) {
    code = find(place.build_id, place.offset);
  }
  if (code) return *code;
  return std::unexpected(
      unplaced((place.path.empty() ? "the program" : place.path) + " is another version there"));
}

void ModuleMap::fill() {
  std::uint32_t filled = 0;
  for (const Module& module : modules_here()) {
    if (!module.has_build_id || filled == kMost) continue;
    entries[filled++] = {module.base, module.begin, module.end, module.build_id};
  }
  count = filled;
}

Translation::Translation(const ModuleMap& theirs) : same_(theirs.count == 0) {
  if (same_) return;
  const auto ours = modules_here();
  const std::size_t count = std::min<std::size_t>(theirs.count, ModuleMap::kMost);
  for (const auto& entry : std::span(theirs.entries).first(count)) {
    const auto found = std::ranges::find_if(ours, [&](const Module& module) {
      return module.has_build_id && module.build_id == entry.build_id;
    });
    if (found == ours.end()) continue;
    parts_.push_back({entry.begin, entry.end, found->base - entry.base});
  }
}

std::uintptr_t Translation::here(std::uintptr_t address) const noexcept {
  if (same_) return address;
  for (const Part& part : parts_) {
    if (address >= part.begin && address < part.end) return address + part.shift;
  }
  return 0;
}

}  // namespace tine::work
