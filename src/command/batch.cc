// SPDX-License-Identifier: MIT
#include "tine/batch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <map>
#include <queue>
#include <utility>

#include "child/child_state.h"
#include "child/guardian.h"
#include "child/tree_stopper.h"
#include "command/failure.h"
#include "command/start.h"
#include "command/streams.h"
#include "os/event_loop.h"
#include "os/io.h"
#include "os/own_pid.h"
#include "os/process_table.h"
#include "os/system_error.h"
#include "tine/process.h"

namespace tine {

using Clock = std::chrono::steady_clock;
using detail::ChildAccess;

namespace {

/// One stream of a job that is passed on in whole lines.
struct LineStream {
  Fd fd;
  int number;
  std::string partial{};
};

/// Why a running job is being ended by us.
enum class Ending : unsigned char { none, timed_out, cancelled };

/// A job in its slot: what it is, the process that runs it, and how far its ending has come.
struct Active {
  Batch::Job job;
  int attempt = 1;
  std::unique_ptr<command::BackgroundStart> launch{};
  Child child{};
  OutputFile out{};
  OutputFile err{};
  std::vector<Fd> writers{};  ///< of these two, while the child is being made
  std::vector<std::unique_ptr<LineStream>> streams{};
  std::chrono::system_clock::time_point started{};
  Clock::time_point clock_started{};

  Ending ending = Ending::none;
  std::size_t stop_step = 0;
  bool killed = false;
  bool over = false;  ///< reaped: there is nobody to signal any more
  int awaited_descendant = -1;
  std::optional<child::TreeStopper> tree{};
  os::EventLoop::TimerId timer = 0;  ///< of the timeout, then of the stop sequence
};

/// A job that is to be started; with the failure of the attempt before, if there was one.
struct Waiting {
  Batch::Job job;
  int attempt = 1;
  std::optional<Failure> last_failure{};
  std::chrono::system_clock::time_point started{};  ///< the attempt before
  Clock::time_point clock_started{};
};

std::string mark_part(const std::string& mark, bool value) {
  const auto equals = mark.find('=');
  return value ? mark.substr(equals + 1) : mark.substr(0, equals);
}

std::filesystem::path directory_for_output(const std::filesystem::path& wanted) {
  if (!wanted.empty()) return wanted;
  const char* dir = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): read only
  return dir != nullptr && *dir != '\0' ? dir : "/tmp";
}

/// The median of the latest run times, for a timeout in per cent of it.
class RunTimes {
 public:
  void add(std::chrono::nanoseconds time) {
    constexpr std::size_t kLatest = 1023;
    if (times_.size() < kLatest) {
      times_.push_back(time);
    } else {
      times_[next_++ % kLatest] = time;
    }
  }
  /// Nothing before three are known.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> median() const {
    if (times_.size() < 3) return std::nullopt;
    auto sorted = times_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::ranges::nth_element(sorted, middle);
    return *middle;
  }

 private:
  std::vector<std::chrono::nanoseconds> times_;
  std::size_t next_ = 0;
};

}  // namespace

struct Batch::State {
  State(BatchOptions given, Source from) : options(std::move(given)), source(std::move(from)) {
    wanted = options.jobs > 0 ? options.jobs : usable_cpus();
    most = wanted;
    tmpdir = directory_for_output(options.tmpdir);
    if (!source) source = [](Job&) { return Supply::end; };
    if (options.cancel.fd() >= 0) {
      // A token that cannot be watched is still looked at before each start.
      [[maybe_unused]] const auto watched = loop.watch(options.cancel.fd(), EPOLLIN, [this] {
        loop.unwatch(options.cancel.fd());
        end_all();
      });
    }
  }

  // ---- Supply ----

  std::optional<Waiting> next_waiting() {
    // Before the look at what is held back: that may be waiting for this very job.
    if (postponed) return std::exchange(postponed, std::nullopt);
    if (!retries.empty()) return take(retries);
    if (stopping || too_many_wait()) return std::nullopt;
    if (!added.empty()) return take(added);
    if (source_ended) return std::nullopt;
    Waiting waiting;
    waiting.job.slot = free_slot();
    switch (source(waiting.job)) {
      case Supply::wait: return std::nullopt;
      case Supply::end: source_ended = true; return std::nullopt;
      case Supply::job: break;
    }
    waiting.job.index = next_index++;
    return waiting;
  }

  static std::optional<Waiting> take(std::deque<Waiting>& from) {
    Waiting waiting = std::move(from.front());
    from.pop_front();
    return waiting;
  }

  /// The lowest, as users of slot numbers expect.
  [[nodiscard]] std::size_t free_slot() const {
    return free_slots.empty() ? slots.size() : free_slots.top();
  }

  [[nodiscard]] bool may_start() const { return running < most && !suspended_at; }

  /// Outcomes that nobody has taken yet, also those of an endless input that cannot even start.
  [[nodiscard]] bool too_many_wait() const {
    constexpr std::size_t kMostHeld = 256;  // each holds two descriptors
    return held.size() + ready.size() >= kMostHeld;
  }

  /// With a delay between starts: whether it has passed. If not, a timer looks again.
  bool delay_passed() {
    if (options.delay.count() == 0 || Clock::now() >= next_start) return true;
    if (!delay_timer_set) {
      delay_timer_set = true;
      loop.at(next_start, [this] { delay_timer_set = false; });
    }
    return false;
  }

  void fill() {
    if (options.cancel.cancelled() && !stopping) end_all();
    while (may_start() && delay_passed()) {
      auto waiting = next_waiting();
      if (!waiting) return;
      if (options.delay.count() > 0) next_start = Clock::now() + options.delay;
      start(std::move(*waiting));
    }
  }

  // ---- Starting ----

  std::expected<command::Defaults, Error> defaults_for(Active& active) {
    command::Defaults defaults;
    if (!null) {
      null = os::above_stdio(Fd{::open("/dev/null", O_RDWR | O_CLOEXEC)});
      if (!null) return os::failed(Stage::open, errno, "/dev/null");
    }
    defaults.push_back({0, command::own_fd(null.get())});
    if (options.output == BatchOutput::inherit) return defaults;
    if (options.output == BatchOutput::lines) {
      for (const int number : {1, 2}) {
        defaults.push_back({number, {.kind = detail::RedirectSpec::Kind::pipe}});
      }
      return defaults;
    }
    for (auto& [number, file] : {std::pair{1, &active.out}, std::pair{2, &active.err}}) {
      const bool redirected =
          std::ranges::any_of(active.job.command.spec().redirects,
                              [n = number](const auto& r) { return r.first == n; });
      if (redirected) continue;
      auto made = spare_file();
      if (!made) return std::unexpected(made.error());
      *file = std::move(*made);
      Fd& writer = active.writers.emplace_back(file->open_for_job());
      defaults.push_back({number, command::own_fd(writer ? writer.get() : file->fd().get())});
    }
    return defaults;
  }

  /// What a start needs can be used again once its child has left our memory.
  std::unique_ptr<command::BackgroundStart> free_launch() {
    if (launches.empty()) return std::make_unique<command::BackgroundStart>();
    auto launch = std::move(launches.back());
    launches.pop_back();
    return launch;
  }

  std::expected<OutputFile, Error> spare_file() {
    if (spare.empty()) return OutputFile::create(tmpdir);
    OutputFile file = std::move(spare.back());
    spare.pop_back();
    return file;
  }

  std::expected<void, Error> set_mark() {
    if (options.kill_mark.empty() || mark_set) return {};
    auto done = child::set_guardian_mark(options.kill_mark);
    mark_set = done.has_value();
    const char* inherited = std::getenv(mark_part(options.kill_mark, false).c_str());  // NOLINT
    mark_inherited = inherited != nullptr && inherited == mark_part(options.kill_mark, true);
    return done;
  }

  void add_mark(Command& command) const {
    if (options.kill_mark.empty() || mark_inherited) return;
    command.env(mark_part(options.kill_mark, false), mark_part(options.kill_mark, true));
  }

  std::expected<void, Error> launch(Active& active) {
    if (auto done = set_mark(); !done) return done;
    if (active.attempt == 1) add_mark(active.job.command);
    auto defaults = defaults_for(active);
    if (!defaults) return std::unexpected(defaults.error());
    active.launch = free_launch();
    auto child =
        active.launch->start(active.job.command.spec(), {.defaults = std::move(*defaults)});
    const bool shared = std::ranges::any_of(active.writers, [](const Fd& fd) { return !fd; });
    active.writers.clear();
    active.out.exclusive_ = active.err.exclusive_ = !shared;
    if (!child) return std::unexpected(child.error());
    active.child = std::move(*child);
    active.clock_started = ChildAccess::state(active.child).started;
    return {};
  }

  void start(Waiting waiting) {
    const std::size_t slot = free_slot();
    auto active = std::make_unique<Active>(std::move(waiting.job), waiting.attempt);
    active->job.slot = slot;
    active->started = std::chrono::system_clock::now();
    active->clock_started = Clock::now();
    if (auto launched = launch(*active); !launched) {
      if (running > 0 && is_shortage(launched.error())) {
        return postpone(*active, std::move(waiting.last_failure), launched.error());
      }
      return settle(*active, std::unexpected(command::not_started(active->job.command.spec(),
                                                                  launched.error())));
    }
    Active& placed = *active;
    occupy(slot, std::move(active));
    watch_streams(placed);
    set_timeout(placed);
    watch_child(placed);  // last: where that is refused, the job is over when it returns
  }

  /// It will pass as jobs end.
  static bool is_shortage(const Error& error) {
    return error.kind == ErrorKind::too_many_processes || error.kind == ErrorKind::too_many_files ||
           error.kind == ErrorKind::out_of_memory;
  }

  /// As many run as the system allows: this one waits until one of them has ended.
  void postpone(Active& active, std::optional<Failure> last_failure, const Error& refusal) {
    most = running;
    reuse_file(std::move(active.out));
    reuse_file(std::move(active.err));
    postponed = Waiting{std::move(active.job), active.attempt, std::move(last_failure)};
    if (options.on_shortage) options.on_shortage(refusal, running);
  }

  void occupy(std::size_t slot, std::unique_ptr<Active> active) {
    if (slot == slots.size()) {
      slots.emplace_back();
    } else {
      free_slots.pop();
    }
    slots[slot] = std::move(active);
    ++running;
  }

  std::unique_ptr<Active> vacate(std::size_t slot) {
    --running;
    free_slots.push(slot);
    return std::move(slots[slot]);
  }

  void watch_child(Active& active) {
    const int fd = active.child.fd();
    auto watched =
        loop.watch_once(fd, EPOLLIN, [this, slot = active.job.slot] { on_end(*slots[slot]); });
    // Not watched (out of memory): wait for it here, which is slow but loses nothing.
    if (!watched) on_end(active);
  }

  void set_timeout(Active& active) {
    std::chrono::nanoseconds limit = options.timeout;
    const auto& own = active.job.command.spec().timeout;
    if (own.count() > 0 && (limit.count() == 0 || own < limit)) limit = own;
    if (options.timeout_percent > 0) {
      if (const auto median = run_times.median()) limit = share_of(*median);
    }
    if (limit.count() > 0) arm_timeout(active, limit);
  }

  [[nodiscard]] std::chrono::nanoseconds share_of(std::chrono::nanoseconds median) const {
    const double ns = static_cast<double>(median.count()) * options.timeout_percent / 100;
    return std::chrono::nanoseconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(ns)));
  }

  void arm_timeout(Active& active, std::chrono::nanoseconds limit) {
    loop.cancel(active.timer);
    active.timer = loop.at(active.clock_started + limit, [this, slot = active.job.slot] {
      begin_ending(*slots[slot], Ending::timed_out);
    });
  }

  // ---- Streams ----

  void watch_streams(Active& active) {
    for (const int number : {1, 2}) {
      Fd& end = active.child.pipe(number);
      if (!end) continue;
      const int fd = end.get();
      ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
      active.streams.push_back(std::make_unique<LineStream>(std::move(end), number));
      LineStream* stream = active.streams.back().get();
      // If it cannot be watched, it is read when the job ends.
      [[maybe_unused]] const auto watched = loop.watch(
          fd, EPOLLIN,
          [this, stream, slot = active.job.slot] { read_stream(*slots[slot], *stream); });
    }
  }

  /// False: nothing more now, or ever.
  bool read_stream(Active& active, LineStream& stream) {
    char block[65536];
    if (!stream.fd) return false;
    const ssize_t got = os::read_retry(stream.fd.get(), block, sizeof block);
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) {
      close_stream(active, stream);
      return false;
    }
    const std::string_view piece(block, static_cast<std::size_t>(got));
    constexpr std::size_t kLongestLine = 1 << 20;
    const auto newline = piece.rfind('\n');
    if (newline == std::string_view::npos && stream.partial.size() + piece.size() < kLongestLine) {
      stream.partial.append(piece);
      return true;
    }
    const auto whole = newline == std::string_view::npos ? piece.size() : newline + 1;
    stream.partial.append(piece.substr(0, whole));
    give_lines(active, stream);
    stream.partial.assign(piece.substr(whole));
    return true;
  }

  void give_lines(Active& active, LineStream& stream) {
    if (stream.partial.empty() || !options.on_output) return;
    options.on_output(describe(active), {stream.number, stream.partial});
  }

  void close_stream(Active& active, LineStream& stream) {
    loop.unwatch(stream.fd.get());
    stream.fd.reset();
    give_lines(active, stream);
    stream.partial.clear();
  }

  void drain_streams(Active& active) {
    for (auto& stream : active.streams) {
      while (read_stream(active, *stream)) {
      }
      if (stream->fd) close_stream(active, *stream);  // a survivor of the job holds the other end
    }
  }

  // ---- Ending ----

  void begin_ending(Active& active, Ending why, os::ProcessTable* seen = nullptr) {
    if (active.ending != Ending::none || active.over) return;
    active.ending = why;
    auto& state = ChildAccess::state(active.child);
    active.tree.emplace(state.pid, state.pidfd.get(), state.killable_group());
    next_stop_step(active, seen);
  }

  /// `seen`: a look at /proc that was taken just now, for many jobs.
  void next_stop_step(Active& active, os::ProcessTable* seen = nullptr) {
    loop.cancel(active.timer);
    if (active.stop_step >= options.stop.size()) return kill_tree(active);
    const StopStep& step = options.stop[active.stop_step++];
    active.tree->signal(static_cast<int>(step.signal), seen);
    active.timer = loop.at(Clock::now() + step.pause,
                           [this, slot = active.job.slot] { next_stop_step(*slots[slot]); });
  }

  /// What even KILL has not ended after a second is in the kernel's hands, and on the guardian's
  /// list; the batch goes on without it.
  void kill_tree(Active& active) {
    loop.cancel(active.timer);
    active.killed = true;
    active.tree->kill();
    active.timer = loop.at(Clock::now() + std::chrono::seconds(1),
                           [this, slot = active.job.slot] { finish(*slots[slot]); });
  }

  /// The child itself has ended.
  void on_end(Active& active) {
    if (active.ending == Ending::none || active.killed) return finish(active);
    wait_for_descendants(active);
  }

  /// While a tree is being ended its slot stays taken until all of it has gone.
  void wait_for_descendants(Active& active) {
    const int fd = active.tree->first_running_descendant();
    active.awaited_descendant = fd;
    if (fd < 0) return finish(active);
    auto watched = loop.watch(fd, EPOLLIN, [this, fd, slot = active.job.slot] {
      loop.unwatch(fd);
      wait_for_descendants(*slots[slot]);
    });
    if (!watched) kill_tree(active);
  }

  Result<Finished> result_of(Active& active, const std::expected<Finished, Error>& ended) {
    const auto& spec = active.job.command.spec();
    if (!ended) {
      Failure failure = command::failed_run(spec, Cause::lost, {});
      failure.status.reset();
      failure.error = ended.error();
      return std::unexpected(std::move(failure));
    }
    std::optional<Cause> cause;
    if (active.ending == Ending::timed_out) cause = Cause::timed_out;
    if (active.ending == Ending::cancelled) cause = Cause::cancelled;
    if (!cause && !ended->status.success() && !spec.unchecked) {
      cause = command::cause_of(ended->status);
    }
    if (!cause) return *ended;
    constexpr std::size_t kTail = 4096;
    return std::unexpected(
        command::failed_run(spec, *cause, *ended, {}, active.err ? active.err.tail(kTail) : ""));
  }

  void finish(Active& active) {
    loop.cancel(active.timer);
    loop.unwatch(active.child.fd());
    loop.unwatch(active.awaited_descendant);
    auto& state = ChildAccess::state(active.child);
    // With no steps given this waits a second at most for what KILL was sent to.
    auto ended = active.ending == Ending::none ? ChildAccess::reap(state)
                                               : active.child.terminate(std::span<StopStep>{});
    active.over = true;
    drain_streams(active);
    for (OutputFile* file : {&active.out, &active.err}) {
      file->exclusive_ = file->exclusive_ && *file && file->is_ours_alone();
      if (file->exclusive_) file->final_size_ = file->size();
    }
    auto result = result_of(active, ended);
    if (auto failure = active.launch->failure(active.job.command.spec())) {
      result =
          std::unexpected(command::not_started(active.job.command.spec(), std::move(*failure)));
    }
    launches.push_back(std::move(active.launch));
    const auto elapsed = result ? result->usage.wall : result.error().elapsed;
    const auto owner = vacate(active.job.slot);  // first: no timer may be set for this one again
    if (options.timeout_percent > 0 && owner->ending == Ending::none) note_run_time(elapsed);
    // The next job runs while the books of this one are kept, unless they may say stop, or again.
    const bool again = !result && owner->attempt <= options.retries;
    if (options.halt.when == Halt::When::never && !again) fill();
    settle(*owner, std::move(result));
  }

  void note_run_time(std::chrono::nanoseconds elapsed) {
    run_times.add(elapsed);
    const auto median = run_times.median();
    if (!median) return;
    for (auto& active : slots) {
      if (active && active->ending == Ending::none) arm_timeout(*active, share_of(*median));
    }
  }

  // ---- Outcomes ----

  /// An attempt is over: again, or an outcome.
  void settle(Active& active, Result<Finished> result) {
    const bool ended_by_us = active.ending == Ending::cancelled;
    if (!result && !ended_by_us && !stopping && active.attempt <= options.retries) {
      reuse_file(std::move(active.out));
      reuse_file(std::move(active.err));
      retries.push_back({std::move(active.job), active.attempt + 1, std::move(result.error()),
                         active.started, active.clock_started});
      return;
    }
    const bool success = result.has_value();
    if (success && most < wanted) ++most;  // a shortage passes
    Outcome outcome;
    outcome.index = active.job.index;
    outcome.slot = active.job.slot;
    outcome.attempts = active.attempt;
    outcome.started = active.started;
    outcome.elapsed = Clock::now() - active.clock_started;
    if (result) {
      outcome.elapsed = result->usage.wall;
    } else {
      result.error().attempts = active.attempt;
      if (result.error().elapsed.count() > 0) outcome.elapsed = result.error().elapsed;
    }
    outcome.result = std::move(result);
    outcome.out = std::move(active.out);
    outcome.err = std::move(active.err);
    if (options.on_end) options.on_end(outcome);
    deliver(std::move(outcome));
    if (!ended_by_us) count_for_halt(success);
  }

  void deliver(Outcome outcome) {
    if (!options.ordered) {
      ready.push_back(std::move(outcome));
      return;
    }
    held.emplace(outcome.index, std::move(outcome));
    while (!held.empty() && held.begin()->first == next_to_give) {
      ready.push_back(std::move(held.extract(held.begin()).mapped()));
      ++next_to_give;
    }
  }

  void count_for_halt(bool success) {
    ++counts[static_cast<std::size_t>(success ? Halt::What::success : Halt::What::fail)];
    ++counts[static_cast<std::size_t>(Halt::What::done)];
    const Halt& halt = options.halt;
    if (halt.when == Halt::When::never || has_halted) return;
    const auto seen = static_cast<double>(counts[static_cast<std::size_t>(halt.what)]);
    const auto done = static_cast<double>(counts[static_cast<std::size_t>(Halt::What::done)]);
    const bool reached = halt.percent > 0 ? done >= 3 && seen * 100 >= halt.percent * done
                                          : seen >= static_cast<double>(halt.count);
    if (!reached) return;
    has_halted = true;
    stop_starting();
    if (halt.when == Halt::When::now) end_all();
  }

  void reuse_file(OutputFile file) {
    constexpr std::size_t kMostSpare = 64;
    if (!file || !file.exclusive_ || spare.size() >= kMostSpare) return;
    const bool clean = file.size() == 0 || ::ftruncate(file.file_.get(), 0) == 0;
    file.final_size_.reset();
    if (clean) spare.push_back(std::move(file));
  }

  // ---- Control ----

  /// Nothing more starts: what waits for another attempt ends with the failure it has.
  void stop_starting() {
    stopping = true;
    if (postponed && postponed->last_failure) retries.push_front(std::move(*postponed));
    postponed.reset();
    for (auto& waiting : std::exchange(retries, {})) {
      Active over{std::move(waiting.job), waiting.attempt - 1};
      over.started = waiting.started;
      over.clock_started = waiting.clock_started;
      settle(over, std::unexpected(std::move(*waiting.last_failure)));
    }
  }

  void end_all() {
    stop_starting();
    os::ProcessTable seen;
    const bool scanned = running > 1 && seen.scan();
    for (auto& active : slots) {
      if (active) begin_ending(*active, Ending::cancelled, scanned ? &seen : nullptr);
    }
  }

  void kill_all() {
    stop_starting();
    for (auto& active : slots) {
      if (!active || active->over) continue;
      auto& child = ChildAccess::state(active->child);
      if (active->ending == Ending::none) active->ending = Ending::cancelled;
      if (!active->tree) active->tree.emplace(child.pid, child.pidfd.get(), child.killable_group());
      kill_tree(*active);
    }
  }

  void signal_all(int signal) {
    for (auto& active : slots) {
      if (!active || active->over) continue;
      auto& state = ChildAccess::state(active->child);
      child::TreeStopper(state.pid, state.pidfd.get(), state.killable_group()).signal(signal);
    }
  }

  [[nodiscard]] static RunningJob describe(const Active& active) {
    return {active.job.index, active.job.slot, active.child.pid(),
            active.attempt,   active.started,  &active.job.name};
  }

  [[nodiscard]] bool idle() const {
    return running == 0 && retries.empty() && !postponed &&
           (stopping || (added.empty() && source_ended));
  }

  [[nodiscard]] bool owned() const noexcept { return maker == os::own_pid(); }

  const pid_t maker = os::own_pid();  ///< in a forked copy everything here belongs to the parent
  BatchOptions options;
  Source source;
  std::size_t wanted = 1;
  std::size_t most = 1;  ///< fewer than wanted after a shortage
  std::filesystem::path tmpdir;
  Fd null;
  bool mark_set = false;
  bool mark_inherited = false;  ///< it stands in our own environment already

  std::deque<Waiting> added;
  std::deque<Waiting> retries;
  std::optional<Waiting> postponed{};
  std::uint64_t next_index = 0;
  bool source_ended = false;
  bool stopping = false;
  bool has_halted = false;
  std::uint64_t counts[3] = {};

  os::EventLoop loop;
  std::vector<std::unique_ptr<Active>> slots;
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_slots;
  std::size_t running = 0;
  Clock::time_point next_start{};
  bool delay_timer_set = false;
  std::optional<Clock::time_point> suspended_at{};
  RunTimes run_times;

  std::deque<Outcome> ready;
  std::map<std::uint64_t, Outcome> held;
  std::uint64_t next_to_give = 0;
  std::vector<OutputFile> spare;
  std::vector<std::unique_ptr<command::BackgroundStart>> launches;
};

Batch::Batch(BatchOptions options) : Batch(std::move(options), nullptr) {}
Batch::Batch(BatchOptions options, Source source)
    : state_(std::make_unique<State>(std::move(options), std::move(source))) {}
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

Batch::~Batch() {
  if (!state_) return;
  if (!state_->owned()) {
    // Its descriptors and children are the parent's; to destroy it here would disturb them.
    [[maybe_unused]] State* const parents = state_.release();
    return;
  }
  // What they refer to may be gone already.
  state_->options.on_end = nullptr;
  state_->options.on_output = nullptr;
  state_->end_all();
  while (state_->running > 0) state_->loop.run_once();
  // What jobs left behind on purpose may stay from here on.
  if (state_->mark_set) child::clear_guardian_mark();
}

void Batch::add(Command command) {
  Waiting waiting;
  waiting.job.name = command.to_string();
  waiting.job.command = std::move(command);
  waiting.job.index = state_->next_index++;
  state_->added.push_back(std::move(waiting));
}

std::optional<Outcome> Batch::next() {
  State& state = *state_;
  if (!state.owned()) return std::nullopt;
  for (;;) {
    state.fill();
    if (!state.ready.empty()) {
      Outcome outcome = std::move(state.ready.front());
      state.ready.pop_front();
      return outcome;
    }
    if (state.idle()) return std::nullopt;
    state.loop.run_once();
  }
}

void Batch::stop_starting() {
  if (state_->owned()) state_->stop_starting();
}

void Batch::end_all() {
  if (state_->owned()) state_->end_all();
}

void Batch::kill_all() {
  if (state_->owned()) state_->kill_all();
}

void Batch::suspend() {
  if (state_->suspended_at || !state_->owned()) return;
  state_->loop.pause_timers(true);
  state_->suspended_at = Clock::now();
  state_->signal_all(SIGSTOP);
}

void Batch::resume() {
  if (!state_->suspended_at || !state_->owned()) return;
  state_->loop.pause_timers(false);
  state_->loop.delay_timers(Clock::now() - *std::exchange(state_->suspended_at, std::nullopt));
  state_->signal_all(SIGCONT);
}

void Batch::reuse(OutputFile out, OutputFile err) {
  state_->reuse_file(std::move(out));
  state_->reuse_file(std::move(err));
}

std::vector<RunningJob> Batch::running() const {
  std::vector<RunningJob> jobs;
  for (const auto& active : state_->slots) {
    if (active) jobs.push_back(State::describe(*active));
  }
  return jobs;
}

bool Batch::halted() const noexcept { return state_->has_halted; }

std::expected<void, Error> Batch::watch(int fd, std::function<void()> handler, bool once) {
  State& state = *state_;
  return once ? state.loop.watch_once(fd, EPOLLIN, std::move(handler))
              : state.loop.watch(fd, EPOLLIN, std::move(handler));
}

void Batch::unwatch(int fd) { state_->loop.unwatch(fd); }

}  // namespace tine
