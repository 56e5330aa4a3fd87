// SPDX-License-Identifier: MIT
#include "command/preparation.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "os/io.h"
#include "os/pidfd.h"
#include "os/system_error.h"

namespace tine::command {

using Kind = RedirectSpec::Kind;

namespace {

std::unexpected<Error> invalid(std::string subject, std::string hint) {
  return std::unexpected(
      Error{ErrorKind::invalid_argument, 0, Stage::prepare, std::move(subject), std::move(hint)});
}

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

/// Whether `variable` (`NAME=value`) is the one called `name`.
bool is_named(const char* variable, const std::string& name) {
  return std::string_view(variable).substr(0, name.size()) == name && variable[name.size()] == '=';
}

}  // namespace

const char* variable_of(const CommandSpec& spec, const char* name) {
  const char* value = spec.clear_environment ? nullptr : std::getenv(name);
  for (const auto& change : spec.environment) {
    if (change.name == name) value = change.value ? change.value->c_str() : nullptr;
  }
  return value;
}

std::vector<std::string> candidate_paths(std::string_view program, const char* path_variable,
                                         bool leaving_cwd) {
  const auto from_here = [leaving_cwd](std::string path) {
    if (!leaving_cwd || path.starts_with('/')) return path;
    std::error_code gone;  // a cwd that was deleted: the kernel's own ENOENT will tell
    const auto cwd = std::filesystem::current_path(gone);
    return gone ? path : cwd.native() + "/" + path;
  };
  if (program.empty()) return {};
  if (program.find('/') != std::string_view::npos) return {from_here(std::string(program))};
  std::vector<std::string> paths;
  std::string_view rest = path_variable != nullptr ? path_variable : "/bin:/usr/bin";
  for (;;) {
    const auto colon = rest.find(':');
    std::string dir(rest.substr(0, colon));
    if (dir.empty()) dir = ".";
    paths.push_back(from_here(dir + "/" + std::string(program)));
    if (colon == std::string_view::npos) return paths;
    rest.remove_prefix(colon + 1);
  }
}

int Preparation::keep(Fd fd) {
  opened_.push_back(std::move(fd));
  return opened_.back().get();
}

Preparation::Status Preparation::prepare(const CommandSpec& spec, const Defaults& defaults) {
  spec_ = &spec;
  if (auto done = prepare_words(spec); !done) return done;
  prepare_environment(spec);
  prepare_candidates(spec);
  if (auto done = prepare_descriptors(spec, defaults); !done) return done;
  return prepare_surroundings(spec);
}

Preparation::Status Preparation::prepare_words(const CommandSpec& spec) {
  if (spec.argv.empty()) return invalid("", "a command needs at least a program");
  for (const auto& word : spec.argv) {
    if (has_nul(word)) return invalid(spec.argv[0], "an argument contains a NUL byte");
  }
  for (const auto& change : spec.environment) {
    const bool bad_name = change.name.empty() || change.name.find('=') != std::string::npos;
    if (bad_name || has_nul(change.name) || (change.value && has_nul(*change.value))) {
      return invalid(spec.argv[0],
                     "the name of an environment variable is empty or contains '=', "
                     "or it or its value contains a NUL byte");
    }
  }
  argv_.reserve(spec.argv.size() + 1);
  // execve does not write into them; its type says otherwise for historical reasons.
  for (const auto& word : spec.argv) argv_.push_back(const_cast<char*>(word.c_str()));
  argv_.push_back(nullptr);
  plan.argv = argv_.data();
  return {};
}

void Preparation::prepare_environment(const CommandSpec& spec) {
  static char* none[] = {nullptr};
  if (!spec.clear_environment && spec.environment.empty()) {
    plan.envp = environ != nullptr ? environ : none;
    return;
  }
  const auto changed = [&spec](const char* variable) {
    return std::ranges::any_of(spec.environment,
                               [&](const auto& change) { return is_named(variable, change.name); });
  };
  if (!spec.clear_environment && environ != nullptr) {
    for (char** variable = environ; *variable != nullptr; ++variable) {
      if (!changed(*variable)) envp_.push_back(*variable);
    }
  }
  variables_.reserve(spec.environment.size());  // pointers into it must stay
  for (auto change = spec.environment.begin(); change != spec.environment.end(); ++change) {
    const bool last_word = std::none_of(change + 1, spec.environment.end(), [&](const auto& later) {
      return later.name == change->name;
    });
    if (!change->value || !last_word) continue;
    envp_.push_back(variables_.emplace_back(change->name + "=" + *change->value).data());
  }
  envp_.push_back(nullptr);
  plan.envp = envp_.data();
}

void Preparation::own_environment() {
  std::size_t bytes = 0;
  std::size_t count = 0;
  for (char* const* variable = plan.envp; *variable != nullptr; ++variable, ++count) {
    bytes += std::strlen(*variable) + 1;
  }
  environment_copy_.reserve(bytes);  // pointers into it must stay
  std::vector<char*> pointers;
  pointers.reserve(count + 1);
  for (char* const* variable = plan.envp; *variable != nullptr; ++variable) {
    pointers.push_back(environment_copy_.data() + environment_copy_.size());
    environment_copy_.append(*variable).push_back('\0');
  }
  pointers.push_back(nullptr);
  envp_ = std::move(pointers);
  plan.envp = envp_.data();
}

void Preparation::prepare_candidates(const CommandSpec& spec) {
  const std::string& program = spec.program ? *spec.program : spec.argv[0];
  const bool search = program.find('/') == std::string::npos;
  paths_ =
      candidate_paths(program, search ? variable_of(spec, "PATH") : nullptr, !spec.cwd.empty());
  for (const auto& path : paths_) path_pointers_.push_back(path.c_str());
  path_pointers_.push_back(nullptr);
  plan.candidates = path_pointers_.data();
}

// ---- Descriptors ----

std::expected<int, Error> Preparation::open_file(const RedirectSpec& redirect) {
  constexpr mode_t kReadWriteAll = 0666;  // less the umask
  Fd file = os::above_stdio(
      Fd{::open(redirect.text.c_str(), redirect.open_flags | O_CLOEXEC | O_NOCTTY, kReadWriteAll)});
  if (!file) return os::failed(Stage::open, errno, redirect.text);
  return keep(std::move(file));
}

std::expected<int, Error> Preparation::open_pipe(int target) {
  auto ends = os::make_pipe();
  if (!ends) return std::unexpected(ends.error());
  Fd childs = std::move(target == 0 ? ends->read : ends->write);
  parent_ends.emplace_back(target, std::move(target == 0 ? ends->write : ends->read));
  return keep(std::move(childs));
}

/// A file in memory: any size, and nobody has to feed it while the child runs.
std::expected<int, Error> Preparation::hold_bytes(const std::string& text) {
  Fd memory = os::above_stdio(Fd{::memfd_create("tine-input", MFD_CLOEXEC)});
  if (!memory) return os::failed(Stage::open, errno, "memory for the input");
  if (const int error = os::write_all(memory.get(), text)) {
    return os::failed(Stage::write, error, "memory for the input");
  }
  ::lseek(memory.get(), 0, SEEK_SET);
  return keep(std::move(memory));
}

std::expected<int, Error> Preparation::open_terminal(int target) {
  if (terminal_ >= 0) return terminal_;
  Fd master = os::above_stdio(Fd{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)});
  char name[64];
  if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
      ::ptsname_r(master.get(), name, sizeof name) != 0) {
    return os::failed(Stage::pseudo_terminal, errno);
  }
  Fd slave = os::above_stdio(Fd{::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)});
  if (!slave) return os::failed(Stage::pseudo_terminal, errno, name);
  if (spec_->terminal_size) {
    const winsize size{spec_->terminal_size->first, spec_->terminal_size->second, 0, 0};
    ::ioctl(slave.get(), TIOCSWINSZ, &size);
  }
  parent_ends.emplace_back(target, std::move(master));
  terminal_ = keep(std::move(slave));
  plan.new_session = true;
  plan.controlling_tty = terminal_;
  return terminal_;
}

std::expected<int, Error> Preparation::source_for(int target, const RedirectSpec& redirect) {
  switch (redirect.kind) {
    case Kind::inherit: return target;
    case Kind::null: {
      Fd null = os::above_stdio(Fd{::open("/dev/null", O_RDWR | O_CLOEXEC)});
      if (!null) return os::failed(Stage::open, errno, "/dev/null");
      return keep(std::move(null));
    }
    case Kind::file: return open_file(redirect);
    case Kind::pipe: return open_pipe(target);
    case Kind::parent_fd:
    case Kind::own_fd: return redirect.number;
    case Kind::bytes: return hold_bytes(redirect.text);
    case Kind::pseudo_terminal: return open_terminal(target);
    case Kind::child_fd: break;  // after all others
  }
  return -1;
}

namespace {

child::FdOrigin origin_of(const RedirectSpec& redirect) {
  if (redirect.kind == Kind::inherit) return child::FdOrigin::inherited;
  // The parent's own stdio by its number: that it may be missing is no mistake of the caller's.
  if (redirect.kind == Kind::parent_fd && redirect.number <= 2) return child::FdOrigin::inherited;
  return redirect.kind == Kind::parent_fd ? child::FdOrigin::given : child::FdOrigin::ours;
}

}  // namespace

Preparation::Status Preparation::prepare_descriptors(const CommandSpec& spec,
                                                     const Defaults& defaults) {
  static const RedirectSpec inherit{};
  std::vector<std::pair<int, const RedirectSpec*>> wanted;
  for (const auto& [number, redirect] : spec.redirects) {
    if (number < 0) return invalid(spec.argv[0], "a negative descriptor cannot be redirected");
    std::erase_if(wanted, [n = number](const auto& earlier) { return earlier.first == n; });
    wanted.emplace_back(number, &redirect);
  }
  const auto missing = [&wanted](int number) {
    return std::ranges::none_of(wanted, [number](const auto& w) { return w.first == number; });
  };
  for (const auto& [number, redirect] : defaults) {
    if (missing(number)) wanted.emplace_back(number, &redirect);
  }
  for (const int number : {0, 1, 2}) {
    if (missing(number)) wanted.emplace_back(number, &inherit);
  }
  std::ranges::sort(wanted, {}, [](const auto& w) { return w.first; });

  for (const auto& [number, redirect] : wanted) {
    auto source = source_for(number, *redirect);
    if (!source) return std::unexpected(source.error());
    mappings_.push_back({*source, number, origin_of(*redirect)});
    if (number > 2) kept_.push_back(number);
    if (number == 0 && redirect->kind == Kind::inherit) shares_terminal = ::isatty(0) == 1;
  }
  // `2>&1`: follow the links to a descriptor that leads somewhere by itself.
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const RedirectSpec* redirect = wanted[i].second;
    for (std::size_t steps = 0; redirect->kind == Kind::child_fd; ++steps) {
      const int next = redirect->number;
      const auto found = std::ranges::find(wanted, next, [](const auto& w) { return w.first; });
      if (found == wanted.end() || steps > wanted.size()) {
        return invalid(spec.argv[0], "descriptor " + std::to_string(wanted[i].first) +
                                         " is redirected to " + std::to_string(next) +
                                         ", which is not open in the child or leads back to it");
      }
      redirect = found->second;
      mappings_[i].source = mappings_[static_cast<std::size_t>(found - wanted.begin())].source;
      mappings_[i].origin = mappings_[static_cast<std::size_t>(found - wanted.begin())].origin;
    }
  }
  plan.mappings = mappings_.data();
  plan.mapping_count = mappings_.size();
  plan.kept = kept_.data();
  plan.kept_count = kept_.size();
  return {};
}

// ---- Everything else ----

Preparation::Status Preparation::prepare_surroundings(const CommandSpec& spec) {
  plan.new_session = plan.new_session || spec.new_session || spec.detach;
  if (!spec.cwd.empty()) plan.cwd = spec.cwd.c_str();
  plan.set_umask = spec.umask.has_value();
  plan.umask = spec.umask.value_or(0);
  plan.set_nice = spec.nice.has_value();
  plan.nice = spec.nice.value_or(0);
  if (spec.io_priority) {
    constexpr int kBestEffort = 2 << 13;  // IOPRIO_CLASS_BE
    plan.set_io_priority = true;
    plan.io_priority = kBestEffort | *spec.io_priority;
  }
  if (spec.oom_score) {
    oom_score_ = std::to_string(*spec.oom_score);
    plan.oom_score = oom_score_.c_str();
  }
  for (const auto& change : spec.limits) limits_.push_back({change.resource, change.limit});
  plan.limits = limits_.data();
  plan.limit_count = limits_.size();
  plan.set_uid = spec.uid.has_value();
  plan.uid = spec.uid.value_or(0);
  plan.set_gid = spec.gid.has_value();
  plan.gid = spec.gid.value_or(0);
  plan.set_groups = spec.groups.has_value();
  if (spec.groups) {
    plan.groups = spec.groups->data();
    plan.group_count = spec.groups->size();
  }
  constexpr int kBits = CHAR_BIT * sizeof(unsigned long);
  for (const int cpu : spec.cpus) {
    constexpr int kMostCpus = 1 << 16;
    if (cpu < 0 || cpu >= kMostCpus) return invalid(spec.argv[0], "no such CPU");
    const auto word = static_cast<std::size_t>(cpu / kBits);
    if (cpu_mask_.size() <= word) cpu_mask_.resize(word + 1);
    cpu_mask_[word] |= 1UL << (cpu % kBits);
  }
  if (!cpu_mask_.empty()) {
    plan.cpu_mask = cpu_mask_.data();
    plan.cpu_mask_bytes = cpu_mask_.size() * sizeof(unsigned long);
  }
  if (spec.process_group == ProcessGroup::callers &&
      (spec.new_session || spec.foreground || spec.detach)) {
    return invalid(spec.argv[0],
                   "new_session(), foreground() and detach() need a process group of its own");
  }
  if (spec.foreground) {
    foreground_terminal = os::above_stdio(Fd{::open("/dev/tty", O_RDWR | O_CLOEXEC)});
    if (!foreground_terminal) {
      Error error = os::make_error(Stage::foreground, errno, spec.argv[0]);
      if (errno == ENXIO) error.hint = "this process has no controlling terminal";
      return std::unexpected(std::move(error));
    }
    plan.foreground_tty = foreground_terminal.get();
  }
  return {};
}

}  // namespace tine::command
