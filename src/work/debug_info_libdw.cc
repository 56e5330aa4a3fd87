// SPDX-License-Identifier: MIT
#ifdef TINE_WITH_LIBDW

#include "work/debug_info.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace tine::work {
namespace {

/// Where the debug information of a module is, on this machine: with DEBUGINFOD_URLS set, the
/// standard search would ask servers and let a failure wait for them.
int find_debug_file(Dwfl_Module* module, void** user_data, const char* name, Dwarf_Addr base,
                    const char* file, const char* link, GElf_Word crc, char** found) {
  const auto search = std::getenv("DEBUGINFOD_URLS") == nullptr ? &dwfl_standard_find_debuginfo
                                                                : &dwfl_build_id_find_debuginfo;
  return search(module, user_data, name, base, file, link, crc, found);
}

constexpr Dwfl_Callbacks kCallbacks{.find_elf = &dwfl_linux_proc_find_elf,
                                    .find_debuginfo = &find_debug_file,
                                    .section_address = nullptr,
                                    .debuginfo_path = nullptr};

std::string text_or_empty(const char* text) { return text != nullptr ? text : ""; }

struct Place {
  std::string file;
  int line = 0;
};

Place place_of(Dwfl_Module* module, std::uintptr_t address) {
  Place place;
  if (Dwfl_Line* const found = dwfl_module_getsrc(module, address); found != nullptr) {
    const char* file = dwfl_lineinfo(found, nullptr, &place.line, nullptr, nullptr, nullptr);
    place.file = text_or_empty(file);
  }
  return place;
}

/// Where the function that `inlined` describes was called.
Place call_of(Dwarf_Die& inlined, Dwarf_Die& unit) {
  const auto number = [&](unsigned name) -> std::size_t {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    return dwarf_formudata(dwarf_attr(&inlined, name, &attribute), &value) == 0 ? value : 0;
  };
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  Place place;
  if (dwarf_getsrcfiles(&unit, &files, &count) == 0) {
    place.file = text_or_empty(dwarf_filesrc(files, number(DW_AT_call_file), nullptr, nullptr));
  }
  place.line = static_cast<int>(number(DW_AT_call_line));
  return place;
}

std::string symbol_of(Dwarf_Die& function) {
  Dwarf_Attribute attribute;
  for (const unsigned name : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    const char* text = dwarf_formstring(dwarf_attr_integrate(&function, name, &attribute));
    if (text != nullptr) return text;
  }
  return {};
}

/// DIEs from the inside to the outside, as libdw allocates them.
class Scopes {
 public:
  /// The scopes of a piece of code or of a definition, itself the first.
  explicit Scopes(Dwarf_Die& innermost) : count_(dwarf_getscopes_die(&innermost, &scopes_)) {}
  ~Scopes() { std::free(scopes_); }
  Scopes(const Scopes&) = delete;
  Scopes& operator=(const Scopes&) = delete;

  [[nodiscard]] std::span<Dwarf_Die> all() const noexcept {
    return {scopes_, count_ > 0 ? static_cast<std::size_t>(count_) : 0};
  }

 private:
  Dwarf_Die* scopes_ = nullptr;
  int count_ = 0;
};

/// The innermost piece of code with a DIE at `address`. What dwarf_getscopes() gives beyond it is
/// no use: outside of an inlined function those are the scopes of its definition.
std::optional<Dwarf_Die> innermost_at(Dwfl_Module* module, Dwarf_Die& unit, Dwarf_Addr address) {
  Dwarf_Die* around = nullptr;
  const int count = dwarf_getscopes(&unit, address, &around);
  const std::unique_ptr<Dwarf_Die, decltype(&std::free)> owner(around, &std::free);
  Dwarf_Addr bias = 0;
  Dwarf* const all = dwfl_module_getdwarf(module, &bias);
  Dwarf_Die innermost;
  if (count <= 0 || dwarf_offdie(all, dwarf_dieoffset(&around[0]), &innermost) == nullptr)
    return {};
  return innermost;
}

/// Where the function is written, as opposed to inlined or made from a template.
Dwarf_Die definition_of(Dwarf_Die function) {
  constexpr int kMostSteps = 4;
  for (int i = 0; i < kMostSteps; ++i) {
    Dwarf_Attribute attribute;
    Dwarf_Die next;
    Dwarf_Attribute* origin = dwarf_attr(&function, DW_AT_abstract_origin, &attribute);
    if (origin == nullptr) origin = dwarf_attr(&function, DW_AT_specification, &attribute);
    if (origin == nullptr || dwarf_formref_die(origin, &next) == nullptr) break;
    function = next;
  }
  return function;
}

/// `app::parse::<lambda>` of a function without a symbol: a lambda, or a static one.
std::string qualified_name(Dwarf_Die& function) {
  Dwarf_Die definition = definition_of(function);
  std::string name = text_or_empty(dwarf_diename(&definition));
  const Scopes scopes(definition);
  for (Dwarf_Die& scope : scopes.all()) {
    const int tag = dwarf_tag(&scope);
    if (scope.addr == definition.addr) continue;
    // Whose own definition may be elsewhere.
    if (tag == DW_TAG_subprogram) return qualified_name(scope) + "::" + name;
    const std::string outer = text_or_empty(dwarf_diename(&scope));
    const bool is_type = tag == DW_TAG_structure_type || tag == DW_TAG_class_type;
    if (is_type && outer.empty()) {
      name = name == "operator()" ? "<lambda>" : name;
    } else if (is_type || tag == DW_TAG_namespace) {
      name.insert(0, (outer.empty() ? "(anonymous namespace)" : outer) + "::");
    }
  }
  return name;
}

void set_name(Frame& frame, Dwarf_Die& function) {
  frame.symbol = symbol_of(function);
  if (frame.symbol.empty()) frame.function = qualified_name(function);
}

/// Adds what was inlined at the frame's address; the frame becomes that of the function around.
void split_inlined(Dwfl_Module* module, Frame& frame, std::vector<Frame>& frames) {
  Dwarf_Addr bias = 0;
  Dwarf_Die* const unit = dwfl_module_addrdie(module, frame.address, &bias);
  if (unit == nullptr) return;
  auto innermost = innermost_at(module, *unit, frame.address - bias);
  if (!innermost) return;
  const Scopes scopes(*innermost);
  for (Dwarf_Die& scope : scopes.all()) {
    const int tag = dwarf_tag(&scope);
    if (tag == DW_TAG_subprogram) {
      if (frame.symbol.empty()) set_name(frame, scope);
      return;
    }
    if (tag != DW_TAG_inlined_subroutine) continue;
    Frame inlined = frame;
    set_name(inlined, scope);
    frames.push_back(std::move(inlined));
    Place call = call_of(scope, *unit);
    frame.file = std::move(call.file);
    frame.line = call.line;
  }
}

/// Nothing where no module is: libdw gives the last one for all that is beyond it.
Dwfl_Module* module_at(Dwfl* session, std::uintptr_t address) {
  Dwfl_Module* const module = dwfl_addrmodule(session, address);
  Dwarf_Addr begin = 0;
  Dwarf_Addr end = 0;
  if (module == nullptr) return nullptr;
  dwfl_module_info(module, nullptr, &begin, &end, nullptr, nullptr, nullptr, nullptr);
  return address >= begin && address < end ? module : nullptr;
}

/// Empty when the nearest symbol is not one that reaches so far.
std::string symbol_at(Dwfl_Module* module, std::uintptr_t address) {
  GElf_Off distance = 0;
  GElf_Sym symbol{};
  const std::string name = text_or_empty(
      dwfl_module_addrinfo(module, address, &distance, &symbol, nullptr, nullptr, nullptr));
  return distance < symbol.st_size ? name.substr(0, name.find('@')) : "";  // without its version
}

}  // namespace

namespace {

/// libdw ends the process when it gets no memory, so it is not asked where that is short.
bool has_memory_to_spare() noexcept {
  constexpr std::size_t kEnough = std::size_t{512} << 20;
  void* const room = ::mmap(nullptr, kEnough, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return false;
  ::munmap(room, kEnough);
  return true;
}

}  // namespace

DebugInfo::DebugInfo() {
  if (!has_memory_to_spare()) return;
  Dwfl* const session = dwfl_begin(&kCallbacks);
  if (session == nullptr) return;
  dwfl_report_begin(session);
  dwfl_linux_proc_report(session, ::getpid());
  dwfl_report_end(session, nullptr, nullptr);
  session_ = session;
}

DebugInfo::~DebugInfo() { dwfl_end(static_cast<Dwfl*>(session_)); }

void DebugInfo::add_frames(std::uintptr_t address, std::vector<Frame>& frames) {
  Frame frame{.address = address};
  auto* const session = static_cast<Dwfl*>(session_);
  if (Dwfl_Module* module = session != nullptr ? module_at(session, address) : nullptr) {
    frame.module = text_or_empty(
        dwfl_module_info(module, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr));
    GElf_Addr bias = 0;
    dwfl_module_getelf(module, &bias);
    frame.offset = address - bias;
    frame.symbol = symbol_at(module, address);
    Place place = place_of(module, address);
    frame.file = std::move(place.file);
    frame.line = place.line;
    split_inlined(module, frame, frames);
  }
  frames.push_back(std::move(frame));
}

}  // namespace tine::work

#endif
