// SPDX-License-Identifier: MIT
#pragma once

/// Places in the code of one process, as another process of the same program knows them: the same
/// module (the program or a library), told by its build id, and the same offset in it, wherever
/// either of them has it.
///
/// Modules without a build id (`-Wl,--build-id=none`) cannot be told from others: what lies in them
/// has no place.
/// Threads: safe.   Source: dl_iterate_phdr(3); elf(5), NT_GNU_BUILD_ID

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tine/error.h"

namespace tine::work {

/// The first bytes of one, zeros behind a shorter one: enough to tell modules apart.
using BuildId = std::array<std::uint8_t, 20>;

struct Module {
  BuildId build_id{};
  bool has_build_id = false;
  std::uintptr_t base = 0;   ///< what is added to the addresses in its file
  std::uintptr_t begin = 0;  ///< of all that is mapped of it
  std::uintptr_t end = 0;
  std::string path{};

  [[nodiscard]] bool contains(std::uintptr_t address) const noexcept {
    return address >= begin && address < end;
  }
};

/// Those of this process, the program first.
[[nodiscard]] std::vector<Module> modules_here();

/// Where a function is.
struct CodePlace {
  std::string build_id{};    ///< its bytes
  std::uint64_t offset = 0;  ///< from the module's base
  std::string path{};        ///< of the module, for who has not loaded it yet

  [[nodiscard]] bool empty() const noexcept { return build_id.empty(); }
};

using Code = void (*)();

/// Errors: not_found: it is in no module, or that one has no build id.
[[nodiscard]] std::expected<CodePlace, Error> place_of(Code function);

/// The function at that place in this process, which loads the library if need be.
/// Errors: not_found: this is another program, or an other version of the library.
[[nodiscard]] std::expected<Code, Error> code_at(const CodePlace& place);

// ---- Maps of modules in shared memory ----

/// Which modules a process has: written by itself, for whoever reads addresses that it wrote.
struct ModuleMap {
  static constexpr std::size_t kMost = 24;
  struct Entry {
    std::uint64_t base;
    std::uint64_t begin;
    std::uint64_t end;
    BuildId build_id;
  };
  std::uint32_t count;  ///< 0: the same as the reader's
  std::array<Entry, kMost> entries;

  /// Writes down those of this process, as many as there is room for.
  void fill();
};

/// Addresses of a process with these modules as addresses here, unless they are the same; 0 for
/// what is nowhere here.
class Translation {
 public:
  /// Requires: `theirs` may be anything; its numbers are kept in their bounds.
  explicit Translation(const ModuleMap& theirs);
  [[nodiscard]] std::uintptr_t here(std::uintptr_t address) const noexcept;

 private:
  struct Part {
    std::uintptr_t begin;
    std::uintptr_t end;
    std::uintptr_t shift;
  };
  bool same_ = false;
  std::vector<Part> parts_{};
};

}  // namespace tine::work
