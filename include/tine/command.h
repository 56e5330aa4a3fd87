// SPDX-License-Identifier: MIT
#pragma once

/// Programs: a Command says what to run and how; run, read, capture and start do it.
///
///     auto head = tine::read({"git", "rev-parse", "HEAD"});     // Result<string>, no shell
///     auto out = tine::Command{"sim", "a.cfg"}.dir("/data").env("SEED",
///     "7").timeout(30s).capture(); auto n = tine::Command::shell("ls | wc -l").read();       // a
///     shell only by this name
///
/// A Command is a value: copy it, change the copy, run either as often as you like.
/// Errors: an exit code other than 0 and a death by signal are Failures, unless unchecked().
/// Threads: launching is safe from any number of threads; no descriptor leaks into a sibling.

#include <sys/types.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <expected>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tine/cancel.h"
#include "tine/child.h"
#include "tine/detail/command_spec.h"
#include "tine/error.h"

namespace tine {

/// One word of a command line: text, a path or a whole number.
struct Arg {
  Arg(const char* word) : text(word) {}                            // NOLINT
  Arg(std::string word) : text(std::move(word)) {}                 // NOLINT
  Arg(std::string_view word) : text(word) {}                       // NOLINT
  Arg(const std::filesystem::path& path) : text(path.native()) {}  // NOLINT
  template <std::integral T>
    requires(!std::same_as<T, bool> && !std::same_as<T, char>)
  Arg(T number) : text(std::to_string(number)) {}  // NOLINT

  std::string text;
};

/// Where a child's descriptor leads. Beside each, what a shell user would write.
class Redirect {
 public:
  // Files are opened by this process before the start: a relative path is against its cwd, and its
  // umask and user decide, whatever the command says of these.

  /// The parent's descriptor of the same number.
  [[nodiscard]] static Redirect inherit();
  /// `< /dev/null`, `> /dev/null`
  [[nodiscard]] static Redirect null();
  /// `< path`
  [[nodiscard]] static Redirect read(const std::filesystem::path& path);
  /// `> path`: created or emptied
  [[nodiscard]] static Redirect write(const std::filesystem::path& path);
  /// `>> path`: every write goes to the end, also beside other writers
  [[nodiscard]] static Redirect append(const std::filesystem::path& path);
  /// `set -C; > path`: an error when it exists
  [[nodiscard]] static Redirect create(const std::filesystem::path& path);
  /// A pipe, whose other end is Child::pipe(n). The child reads if n is 0, else it writes.
  [[nodiscard]] static Redirect pipe();
  /// `n>&number`, where `number` is the parent's: out(fd(2)).err(fd(1)) swaps the two.
  /// Requires: it stays open until the command has started.
  [[nodiscard]] static Redirect fd(int number);
  /// `n>&target`, where `target` is the child's after its redirections: `2>&1` is err(same_as(1)).
  [[nodiscard]] static Redirect same_as(int target);
  /// `<<< text`: any size; kept in memory, never written to a disk, never a deadlock.
  [[nodiscard]] static Redirect bytes(std::string text);
  /// A pseudo-terminal, one for all descriptors that ask; its master is Child::pipe(n) of the
  /// lowest. The child gets a new session with it as the controlling terminal.
  [[nodiscard]] static Redirect pseudo_terminal();

 private:
  friend class Command;
  explicit Redirect(detail::RedirectSpec spec) : spec_(std::move(spec)) {}
  detail::RedirectSpec spec_;
};

/// What a captured command said.
struct Output : Finished {
  std::string out{};
  std::string err{};
  bool truncated = false;  ///< capture_limit(n, OnLimit::truncate) cut something
};

/// A piece of a stream as it arrives: `fd` is 1 or 2.
struct Piece {
  int fd;
  std::string_view text;
};

/// What to do with output above the capture limit.
enum class OnLimit : unsigned char {
  fail,      ///< end the command: Failure{cancelled, error.kind = output_limit}
  truncate,  ///< keep the first bytes, read on and drop the rest
};

class Conversation;

class Command {
 public:
  /// Program and arguments. A name without '/' is looked up in the PATH of the child.
  Command(std::initializer_list<Arg> words);
  /// The same from a container of strings.
  [[nodiscard]] static Command of(std::vector<std::string> words);
  /// `/bin/sh -c script`, with `arguments` as $1, $2, ...: never paste values into the script.
  [[nodiscard]] static Command shell(std::string script, std::vector<std::string> arguments = {});

  Command& arg(Arg word);
  Command& args(std::vector<std::string> words);
  /// Executes the file `path`, whatever argv[0] says.
  Command& program(const std::filesystem::path& path);
  /// argv[0] as the child sees it; the program executed stays the same.
  Command& arg0(std::string name);
  Command& dir(const std::filesystem::path& cwd);

  Command& env(std::string name, std::string value);
  Command& env_remove(std::string name);
  /// Starts from an empty environment; env() adds to it.
  Command& env_clear();

  Command& in(Redirect from) { return fd(0, std::move(from)); }
  Command& out(Redirect to) { return fd(1, std::move(to)); }
  Command& err(Redirect to) { return fd(2, std::move(to)); }
  /// Any other descriptor. Those above 2 that are not named here are closed in the child.
  Command& fd(int number, Redirect where);
  Command& input(std::string text) { return in(Redirect::bytes(std::move(text))); }

  Command& umask(mode_t mask);
  Command& nice(int increment);
  /// How willingly it waits for disks: 0 (first) to 7 of the best-effort class.
  /// Source: ioprio_set(2)
  Command& io_priority(int level);
  /// How willingly the kernel kills it when memory runs out: -1000 (never) to 1000 (first).
  /// Source: proc(5), /proc/PID/oom_score_adj; less than now takes CAP_SYS_RESOURCE
  Command& oom_score(int adjustment);
  Command& affinity(std::vector<int> cpus);
  /// `resource` is RLIMIT_CPU and so on; both limits become `value` (bytes, seconds or a count).
  Command& limit(int resource, rlim_t value);
  Command& limit(int resource, rlim_t soft, rlim_t hard);
  /// The group and the supplementary groups stay as they are: to give up root's, say group() and
  /// groups() as well.
  Command& user(uid_t uid);
  Command& group(gid_t gid);
  Command& groups(std::vector<gid_t> groups);
  Command& terminal_size(unsigned short rows, unsigned short columns);

  /// Requires: not `callers` with new_session(), foreground() or detach(), which need another one.
  Command& process_group(ProcessGroup which);
  /// A new session, without a controlling terminal.
  Command& new_session(bool on = true);
  /// Hands the terminal of this process over for as long as the command runs.
  Command& foreground(bool on = true);
  /// Outlives this process: new session, a child of init, on nobody's list. The handle can signal
  /// and wait for it; its destructor leaves it alone.
  Command& detach(bool on = true);
  /// Lets what the command leaves behind in its process group live on after it.
  Command& leave_descendants(bool on = true);

  /// TERM to the whole tree after `limit`, KILL after the grace. Zero: none.
  Command& timeout(std::chrono::nanoseconds limit);
  Command& grace(std::chrono::milliseconds grace);
  /// Makes a non-zero exit and a death by signal values, not Failures.
  Command& unchecked(bool on = true);
  /// For run, read, capture, each_line, each_chunk and converse; whoever start()s a child waits for
  /// it with a token of his own.
  Command& cancel(CancelToken token);
  /// The most that capture and read keep of one stream, bytes.
  Command& capture_limit(std::size_t bytes, OnLimit then = OnLimit::fail);

  /// Runs it to its end; streams are inherited unless redirected.
  [[nodiscard]] Result<Finished> run() const;
  /// Its stdout, without the newlines at its end; stderr is inherited.
  [[nodiscard]] Result<std::string> read() const;
  /// Its stdout and stderr, whole. On a timeout the Failure has what came so far.
  [[nodiscard]] Result<Output> capture() const;
  /// Calls `handler` for every line of stdout and stderr as it arrives, without its newline; lines
  /// above 1 MiB come in pieces. When it returns false the streams are closed, and a child that
  /// dies of that (SIGPIPE) counts as a success. Memory is bounded. An exception thrown by the
  /// handler ends the child and goes on to the caller.
  [[nodiscard]] Result<Finished> each_line(const std::function<bool(Piece)>& handler) const;
  /// The same for pieces of up to 64 KiB as the kernel hands them over.
  [[nodiscard]] Result<Finished> each_chunk(const std::function<bool(Piece)>& handler) const;
  /// Starts it; the handle owns it. Errors carry the stage and the cause of a failed exec.
  [[nodiscard]] std::expected<Child, Error> start() const;
  /// Starts it with pipes at stdin and stdout for a dialogue; see conversation.h.
  [[nodiscard]] std::expected<Conversation, Error> converse() const;
  /// Replaces this process; returns only when it fails.
  [[nodiscard]] Error exec() const;

  /// The words, quoted so that a shell would read them back. Never the environment or the input.
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] const detail::CommandSpec& spec() const noexcept { return spec_; }

 private:
  detail::CommandSpec spec_;
};

[[nodiscard]] Result<Finished> run(const Command& command);
[[nodiscard]] Result<std::string> read(const Command& command);
[[nodiscard]] Result<Output> capture(const Command& command);
[[nodiscard]] std::expected<Child, Error> start(const Command& command);

/// Where `name` would be found by a Command of this process: its path.
/// Errors: not_found, not_executable, is_directory.
[[nodiscard]] std::expected<std::filesystem::path, Error> find_program(std::string_view name);

}  // namespace tine
