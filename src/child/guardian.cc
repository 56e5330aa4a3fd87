// SPDX-License-Identifier: MIT
#include "child/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "child/spawn.h"
#include "os/io.h"
#include "os/null_device.h"
#include "os/own_pid.h"
#include "os/pidfd.h"
#include "os/raw_fd.h"
#include "os/raw_syscall.h"
#include "os/system_error.h"
#include "os/temporary_directory.h"
#include "os/trace.h"
#include "os/young_child.h"

/// The program of guardian_main.cc, put here by guardian_image.S.
extern "C" const char tine_guardian_image[];
extern "C" const char tine_guardian_image_end[];

namespace tine::child {
namespace {

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3
#endif

std::unexpected<Error> no_guardian(int errno_value, std::string hint) {
  auto error = os::make_error(Stage::guardian, errno_value);
  if (error.kind == ErrorKind::system || error.kind == ErrorKind::not_permitted) {
    error.kind = ErrorKind::guardian;
  }
  error.hint = std::move(hint) + (error.hint.empty() ? "" : "; " + error.hint);
  return std::unexpected(std::move(error));
}

std::string_view image() noexcept {
  return {tine_guardian_image,
          static_cast<std::size_t>(tine_guardian_image_end - tine_guardian_image)};
}

/// For systems that refuse to execute memory (vm.memfd_noexec).
Fd image_in_file() {
  std::string path = os::temporary_directory() + "/tineXXXXXX";
  Fd writer = os::above_stdio(Fd{::mkostemp(path.data(), O_CLOEXEC)});
  if (!writer) return {};
  const bool written =
      os::write_all(writer.get(), image()) == 0 && ::fchmod(writer.get(), S_IRUSR | S_IXUSR) == 0;
  writer.reset();  // a file that is open for writing cannot be executed
  Fd reader = written ? os::above_stdio(Fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)}) : Fd{};
  ::unlink(path.c_str());
  return reader;
}

Fd image_in_memory() {
  int fd = ::memfd_create("tine-guardian", MFD_CLOEXEC | MFD_EXEC);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create("tine-guardian", MFD_CLOEXEC);
  Fd memory = os::above_stdio(Fd{fd});
  if (!memory || os::write_all(memory.get(), image()) != 0) return {};
  return memory;
}

class GuardianHost {
 public:
  explicit GuardianHost(pid_t owner) noexcept : owner_(owner) {}

  [[nodiscard]] pid_t owner() const noexcept { return owner_; }
  [[nodiscard]] int pidfd() const noexcept { return guardian_.get(); }

  std::expected<GuardianSeat, Error> reserve();
  std::expected<GuardianMark*, Error> take_mark(std::string_view text);
  void give_back(GuardianMark* mark) noexcept;
  void watch_deadline(GuardianSlot& slot, std::chrono::nanoseconds timeout,
                      std::chrono::nanoseconds grace) noexcept;
  void revive() noexcept;
  void give_back(GuardianSlot* slot) noexcept;
  void forget() noexcept;

 private:
  int make_table() noexcept;
  std::expected<void, Error> prepare();
  std::expected<void, Error> ensure_running();
  std::expected<void, Error> start();
  std::expected<void, SpawnReport> execute(const Fd& image, const Fd& null);
  [[nodiscard]] bool running() const noexcept;
  void wake() noexcept;

  const pid_t owner_;
  std::mutex mutex_;
  std::vector<std::uint32_t> free_;
  GuardianTable* table_ = nullptr;
  std::uint32_t capacity_ = kGuardianSlots;
  Fd memory_;    // the table
  Fd host_;      // our own pidfd
  Fd wake_;      // eventfd
  Fd guardian_;  // its pidfd
};

/// RLIMIT_FSIZE holds for memory files as well: with a low one there are fewer slots. What the
/// mapping has beyond the end of the file is never touched.
int GuardianHost::make_table() noexcept {
  memory_ = os::above_stdio(Fd{::memfd_create("tine-guardian-table", MFD_CLOEXEC)});
  if (!memory_) return errno;
  const int error = os::set_file_size(memory_.get(), sizeof(GuardianTable));
  rlimit limit{};
  if (error != EFBIG || ::getrlimit(RLIMIT_FSIZE, &limit) != 0) return error;
  constexpr std::size_t kHead = offsetof(GuardianTable, slots);
  if (limit.rlim_cur < kHead + sizeof(GuardianSlot)) return error;
  capacity_ = static_cast<std::uint32_t>((limit.rlim_cur - kHead) / sizeof(GuardianSlot));
  return os::set_file_size(memory_.get(), static_cast<off_t>(limit.rlim_cur));
}

std::expected<void, Error> GuardianHost::prepare() {
  if (table_ != nullptr) return {};
  if (const int error = make_table()) return no_guardian(error, "no memory for its table");
  host_ = os::open_pidfd(owner_);
  if (!host_) return no_guardian(errno, "pidfd_open of this process failed (Linux before 5.3?)");
  wake_ = os::above_stdio(Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
  if (!wake_) return no_guardian(errno, "no eventfd");
  void* at =
      ::mmap(nullptr, sizeof(GuardianTable), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (at == MAP_FAILED) return no_guardian(errno, "cannot map its table");
  // The file is all zero, which is what a fresh table holds: constructing it would touch 1 MiB.
  table_ = static_cast<GuardianTable*>(at);
  os::open_null_device();
  return {};
}

bool GuardianHost::running() const noexcept {
  if (!guardian_) return false;
  const std::uint32_t life = table_->life.load(std::memory_order_acquire);
  return life != 0 ? (life & FUTEX_OWNER_DIED) == 0 : !os::has_ended(guardian_.get());
}

std::expected<void, SpawnReport> GuardianHost::execute(const Fd& image, const Fd& null) {
  char name[] = "tine-guardian";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  // It must hold nothing of the host's, least of all a pipe whose reader waits for the end.
  FdMapping mappings[] = {{null.get(), 0, FdOrigin::ours},
                          {null.get(), 1, FdOrigin::ours},
                          {null.get(), 2, FdOrigin::ours},
                          {memory_.get(), kGuardianTableFd, FdOrigin::ours},
                          {host_.get(), kGuardianHostFd, FdOrigin::ours},
                          {wake_.get(), kGuardianWakeFd, FdOrigin::ours}};
  const int kept[] = {kGuardianTableFd, kGuardianHostFd, kGuardianWakeFd};
  SpawnPlan plan;
  plan.exec_fd = image.get();
  plan.argv = argv;
  plan.envp = envp;
  plan.mappings = mappings;
  plan.mapping_count = std::size(mappings);
  plan.kept = kept;
  plan.kept_count = std::size(kept);
  plan.new_session = true;
  plan.cwd = "/";
  table_->life.store(0, std::memory_order_release);
  table_->asleep_until.store(0);
  // The last one may have died while it held a lock.
  for (std::uint32_t i = 0; i < table_->used.load(); ++i) {
    std::uint32_t held = kGuardianHoldsLock;
    table_->slots[i].lock.compare_exchange_strong(held, 0);
  }
  auto made = spawn(plan, Kinship::detached);
  if (!made) return std::unexpected(made.error());
  guardian_ = std::move(made->pidfd);
  return {};
}

/// A number that the mappings of execute() do not touch.
Fd above_targets(Fd fd) noexcept {
  return Fd{fd ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, kGuardianWakeFd + 1) : -1};
}

std::expected<void, Error> GuardianHost::start() {
  const Fd null = above_targets(Fd{::open("/dev/null", O_RDWR | O_CLOEXEC)});
  if (!null) return no_guardian(errno, "no /dev/null");
  std::expected<void, SpawnReport> done = std::unexpected(SpawnReport{});
  for (Fd (*make_image)() : {image_in_memory, image_in_file}) {
    const Fd image = above_targets(make_image());
    done =
        image
            ? execute(image, null)
            : std::expected<void, SpawnReport>(std::unexpected(SpawnReport{Stage::open, errno, 0}));
    if (done) {
      if (os::tracing()) os::trace("guardian started");
      return {};
    }
  }
  return no_guardian(done.error().errno_value,
                     "without it children would survive this process; detach() asks for that");
}

std::expected<void, Error> GuardianHost::ensure_running() {
  if (auto ready = prepare(); !ready) return ready;
  if (running()) return {};
  return start();
}

std::expected<GuardianSeat, Error> GuardianHost::reserve() {
  const std::lock_guard lock(mutex_);
  if (auto ready = ensure_running(); !ready) return std::unexpected(ready.error());
  if (!free_.empty()) {
    GuardianSlot* slot = &table_->slots[free_.back()];
    free_.pop_back();
    return GuardianSeat{slot};
  }
  const std::uint32_t next = table_->used.load(std::memory_order_relaxed);
  if (next == capacity_) {
    return no_guardian(EAGAIN, std::to_string(capacity_) + " children are running already");
  }
  table_->used.store(next + 1, std::memory_order_release);
  return GuardianSeat{&table_->slots[next]};
}

std::expected<GuardianMark*, Error> GuardianHost::take_mark(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (text.empty() || text.size() > kMarkBytes || text.find('=') == std::string_view::npos) {
    return no_guardian(EINVAL, "a mark is NAME=value of at most 256 bytes");
  }
  if (auto ready = ensure_running(); !ready) return std::unexpected(ready.error());
  for (auto& mark : table_->marks) {
    if (mark.length.load(std::memory_order_relaxed) != 0) continue;
    std::memcpy(mark.text, text.data(), text.size());
    mark.length.store(static_cast<std::uint32_t>(text.size()), std::memory_order_release);
    return &mark;
  }
  return no_guardian(EAGAIN, std::to_string(kGuardianMarks) + " marks are in use already");
}

void GuardianHost::give_back(GuardianMark* mark) noexcept {
  mark->length.store(0, std::memory_order_release);
}

void GuardianHost::give_back(GuardianSlot* slot) noexcept {
  slot->pid.store(0, std::memory_order_release);
  slot->group.store(0, std::memory_order_relaxed);
  slot->timed_out.store(0, std::memory_order_relaxed);
  slot->grace.store(0, std::memory_order_relaxed);
  slot->latest_start.store(0, std::memory_order_relaxed);
  slot->go.store(0, std::memory_order_relaxed);
  slot->deadline.store(0, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  free_.push_back(static_cast<std::uint32_t>(slot - table_->slots));
}

/// Somebody may have closed it, and have a file of theirs there.
void GuardianHost::wake() noexcept {
  struct stat found{};
  const bool is_anonymous = ::fstat(wake_.get(), &found) == 0 && (found.st_mode & S_IFMT) == 0;
  if (!is_anonymous) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void GuardianHost::watch_deadline(GuardianSlot& slot, std::chrono::nanoseconds timeout,
                                  std::chrono::nanoseconds grace) noexcept {
  const auto at = os::deadline_after(timeout).time_since_epoch();
  const std::int64_t deadline = std::chrono::nanoseconds(at).count();
  slot.grace.store(grace.count());
  slot.deadline.store(deadline);
  // In this order on both sides: it has seen the deadline in its last look, or we see it asleep.
  if (deadline < table_->asleep_until.load()) wake();
}

/// An error here is met again, and told, by the next launch.
void GuardianHost::revive() noexcept {
  if (table_ == nullptr || running()) return;
  const std::lock_guard lock(mutex_);
  [[maybe_unused]] const auto revived = ensure_running();
}

TINE_YOUNG_CHILD void GuardianHost::forget() noexcept {
  if (table_ != nullptr) os::raw_syscall(SYS_munmap, os::as_word(table_), sizeof(GuardianTable));
  for (const Fd* fd : {&memory_, &host_, &wake_, &guardian_}) os::close_raw(fd->get());
}

std::atomic<GuardianHost*> current_host{nullptr};
std::atomic<pid_t> creator{0};

/// This process's own. A fork copies the pointer; the copy belongs to the parent and is left alone,
/// its mutex perhaps held for ever by a thread that does not exist here.
GuardianHost& host() {
  const pid_t self = os::own_pid();
  for (;;) {
    GuardianHost* now = current_host.load(std::memory_order_acquire);
    if (now != nullptr && now->owner() == self) return *now;
    pid_t somebody = creator.load();
    if (somebody == self || !creator.compare_exchange_strong(somebody, self)) {
      ::sched_yield();  // another thread of this process makes it; a few microseconds
      continue;
    }
    now = current_host.load(std::memory_order_acquire);
    if (now == nullptr || now->owner() != self) {
      current_host.store(new GuardianHost(self), std::memory_order_release);
    }
    creator.store(0);
  }
}

}  // namespace

GuardianSeat& GuardianSeat::operator=(GuardianSeat&& other) noexcept {
  if (this != &other) {
    release();
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

void GuardianSeat::set_deadline(std::chrono::nanoseconds timeout,
                                std::chrono::nanoseconds grace) noexcept {
  if (slot_ != nullptr) host().watch_deadline(*slot_, timeout, grace);
}

void GuardianSeat::clear_deadline() noexcept {
  if (slot_ != nullptr) slot_->deadline.store(0);
}

bool GuardianSeat::claim_timeout() noexcept {
  std::uint32_t nobody = 0;
  return slot_ == nullptr || slot_->timed_out.compare_exchange_strong(nobody, kHostActs);
}

bool GuardianSeat::guardian_has_acted() const noexcept {
  return slot_ != nullptr && slot_->timed_out.load() > kHostActs;
}

void GuardianSeat::clear() noexcept {
  if (slot_ == nullptr) return;
  const bool shared = slot_->deadline.load(std::memory_order_acquire) != 0;
  if (shared) {
    // The guardian may be signalling this child just now. It holds the lock for one look at /proc;
    // if it died doing so, nobody signals any more.
    std::uint32_t unlocked = 0;
    while (!slot_->lock.compare_exchange_weak(unlocked, kHostHoldsLock)) {
      unlocked = 0;
      const int guardian = guardian_pidfd();
      if (guardian < 0 || os::has_ended(guardian)) break;
      ::sched_yield();
    }
  }
  slot_->pid.store(0, std::memory_order_release);
  if (shared) slot_->lock.store(0);
}

void GuardianSeat::child_started() noexcept {
  if (slot_ == nullptr) return;
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  constexpr std::uint64_t kTicksPerSecond = 100;  // USER_HZ, of /proc on all Linux
  const auto ticks = static_cast<std::uint64_t>(now.tv_sec) * kTicksPerSecond +
                     static_cast<std::uint64_t>(now.tv_nsec) / (1'000'000'000 / kTicksPerSecond);
  slot_->latest_start.store(ticks + 1, std::memory_order_release);
}

void GuardianSeat::release() noexcept {
  if (slot_ == nullptr) return;
  clear();
  host().give_back(std::exchange(slot_, nullptr));
}

std::expected<GuardianSeat, Error> reserve_guardian_seat() { return host().reserve(); }

std::expected<KillMark, Error> KillMark::set(std::string_view text) {
  auto mark = host().take_mark(text);
  if (!mark) return std::unexpected(mark.error());
  return KillMark(*mark, os::own_pid());
}

KillMark& KillMark::operator=(KillMark&& other) noexcept {
  std::swap(mark_, other.mark_);
  std::swap(owner_, other.owner_);
  return *this;
}

KillMark::~KillMark() {
  if (mark_ != nullptr && owner_ == os::own_pid()) host().give_back(mark_);
}

void revive_guardian() noexcept { host().revive(); }

TINE_YOUNG_CHILD void forget_guardian_of_parent() noexcept {
  if (GuardianHost* inherited = current_host.exchange(nullptr)) inherited->forget();
}

int guardian_pidfd() noexcept { return host().pidfd(); }

}  // namespace tine::child
