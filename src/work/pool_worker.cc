// SPDX-License-Identifier: MIT
#include "work/pool_worker.h"

#include <sched.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "os/futex.h"
#include "os/life_word.h"
#include "os/own_pid.h"
#include "work/failure_note.h"
#include "work/memory_limit.h"

namespace tine::work {

using detail::now_ns;

void (*at_pool_step)(PoolStep step) noexcept = nullptr;

std::uint64_t PoolWorker::errors_written() noexcept {
  const off_t at = ::lseek(STDERR_FILENO, 0, SEEK_CUR);
  return at > 0 ? static_cast<std::uint64_t>(at) : 0;
}

namespace {

/// To be read; empty where it cannot be mapped. Stays until the process ends.
std::span<char> view_of_file(int fd) noexcept {
  struct stat file{};
  if (::fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size <= 0) return {};
  const auto size = static_cast<std::size_t>(file.st_size);
  void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return {};
  return {static_cast<char*>(at), size};
}

}  // namespace

/// What a task writes its value to.
class PoolWorker::Output final : public detail::TaskOutput {
 public:
  Output(PoolWorker& worker, std::uint32_t slot, TaskSlot& task) noexcept
      : TaskOutput(task.tiny_result, task.near_result, worker.process_),
        worker_(worker),
        slot_(slot),
        task_(task) {}

  void publish() noexcept override {
    worker_.process_.end_if_copied();
    published_ = true;
    if (far_.area == 0) task_.result = BytesAt(size());
    task_.kind = ResultKind::value;
    // What the task has printed is out before anybody knows that it is done.
    if (::__fpending(stdout) != 0) ::fflush(stdout);
    worker_.show_errors();
    passed(PoolStep::placed_result);
    worker_.seat_.done.store(worker_.seat_.done.load(std::memory_order_relaxed) + 1,
                             std::memory_order_relaxed);
    worker_.conclude(task_, TaskState::done);
  }
  detail::MapPart begin_part(std::span<const std::byte>& arguments) override {
    std::memcpy(&part_, detail::take_bytes(arguments, sizeof part_).data(), sizeof part_);
    const auto map = worker_.find_map(part_);
    return {map.inputs(), map.head().count};
  }
  void run_part(detail::MapBody& body) override { worker_.run_part(part_, task_.queue, body); }
  [[nodiscard]] bool published() const noexcept { return published_; }

 private:
  std::byte* far(std::size_t size) override {
    worker_.seat_.allocating.store(1, std::memory_order_relaxed);
    const auto at = worker_.memory_.take_chunks(slot_, size);
    if (!at) throw std::bad_alloc{};
    far_ = *at;
    task_.result = *at;
    return worker_.memory_.result(task_).data();
  }

  PoolWorker& worker_;
  std::uint32_t slot_;
  TaskSlot& task_;
  BytesAt far_{};
  PartHead part_{};
  bool published_ = false;
};

PoolWorker::PoolWorker(PoolMemory& memory, const PoolOptions& options, std::size_t seat,
                       int keeper_fd)
    : memory_(memory),
      table_(memory.table()),
      options_(options),
      place_(static_cast<std::uint32_t>(seat)),
      seat_(memory.seats()[seat]),
      keeper_fd_(keeper_fd),
      born_(now_ns()) {
  clock_ = born_;
  memory_.set_kept(options.warm_memory);
  memory_.set_share(seat + 1, memory.seats().size() + 1);
}

int PoolWorker::run() noexcept {
  seat_.pid.store(os::own_pid());  // before the keeper may have come to it
  errors_view_ = view_of_file(STDERR_FILENO);
  if (!initialize()) return 1;
  try {
    while (const auto slot = next_task()) run_task(*slot);
  } catch (const std::bad_alloc&) {
    seat_.stage.store(PoolStage::out_of_memory, std::memory_order_release);
    return 1;
  }
  passed(PoolStep::ending);
  seat_.stage.store(PoolStage::ended, std::memory_order_release);
  return 0;
}

bool PoolWorker::initialize() {
  passed(PoolStep::started);
  try {
    if (options_.initializer != nullptr) {
      seat_.stage.store(PoolStage::initializing, std::memory_order_release);
      if (options_.init_timeout.count() > 0) {
        set_deadline(deadline_after(now_ns(), options_.init_timeout.count()));
      }
      options_.initializer();
    }
  } catch (...) {
    const auto note = encoded_note(note_in_flight(), seat_.note.size());
    std::memcpy(seat_.note.data(), note.data(), note.size());
    seat_.note_size = note.size();
    seat_.stage.store(PoolStage::init_failed, std::memory_order_release);
    return false;
  }
  seat_.stage.store(PoolStage::working, std::memory_order_release);
  if (options_.init_timeout.count() > 0) seat_.deadline.store(0);
  table_.searching.add(place_);
  passed(PoolStep::initialized);
  return true;
}

// ---- Running them ----

void PoolWorker::begin_attempt(TaskSlot& task) noexcept {
  const bool has_timeout = (task.rules & kHasTimeout) != 0;
  if (in_range_ == 0 || has_timeout) attempt_began_ = clock_ = now_ns();
  if (in_range_ == 0) range_began_ = attempt_began_;
  if (!has_timeout) return;
  set_deadline(deadline_after(attempt_began_, task.timeout));
}

/// The keeper ends us then; it may sleep for longer than that.
void PoolWorker::set_deadline(std::int64_t deadline) noexcept {
  seat_.deadline.store(deadline);
  tell_deadline(deadline);
}

void PoolWorker::run_task(std::uint32_t slot) {
  TaskSlot& task = memory_.slots()[slot];
  begin_attempt(task);
  if ((task.rules & kUnasked) == 0 || ask_about_last(slot, task)) attempt(slot, task);
  // That of a task, or of an item of a map.
  if (seat_.deadline.load(std::memory_order_relaxed) != 0) seat_.deadline.store(0);
  seat_.allocating.store(0, std::memory_order_relaxed);
  const std::uint64_t ran = std::exchange(is_part_, false) ? std::exchange(items_, 0) : 1;
  tasks_ += ran;
  in_range_ += ran;
}

void PoolWorker::attempt(std::uint32_t slot, TaskSlot& task) {
  Output output(*this, slot, task);
  ++task.attempts;
  try {
    detail::here(task.thunk)(memory_.arguments(task), output);
  } catch (...) {
    if (!output.published()) attempt_failed(slot, task);
  }
}

/// In a handler.
void PoolWorker::attempt_failed(std::uint32_t slot, TaskSlot& task) {
  process_.end_if_copied();
  bool again = false;
  task.kind = ResultKind::out_of_memory;
  if (seat_.allocating.load(std::memory_order_relaxed) != 0) {
    memory_.free_all_but(slot, task.arguments);
  }
  task.result = {};
  try {
    FailureNote note = note_in_flight();
    note.stderr_tail = stderr_tail();
    note.elapsed = std::chrono::nanoseconds(now_ns() - attempt_began_);
    // Another process may have taken the task from us: then it is not ours to try again.
    again = task.load().state == TaskState::running && task.count_failure(note.cause, false) &&
            decide(task, note);
    if (!again) keep_note(slot, task, std::move(note));
  } catch (const std::bad_alloc&) {
    // Then that is what it failed by.
  }
  if (::__fpending(stdout) != 0) ::fflush(stdout);
  if (again) return hand_back(slot, task);
  show_errors();
  seat_.failed.store(seat_.failed.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  conclude(task, TaskState::failed);
}

void PoolWorker::keep_note(std::uint32_t slot, TaskSlot& task, FailureNote note) {
  const auto bytes = encoded_note(std::move(note), std::size_t{1} << 20);
  const auto at = memory_.take_bytes(slot, bytes.size());
  if (!at) return;
  task.result = *at;
  std::memcpy(memory_.result(task).data(), bytes.data(), bytes.size());
  task.kind = ResultKind::failure;
}

/// The task has its outcome, unless somebody has given it another. We are about to look for more,
/// and that is known first: or whoever gets this result and submits anew would find nobody.
void PoolWorker::conclude(TaskSlot& task, TaskState state) noexcept {
  if (range_size() == 0) table_.searching.add(place_);
  auto before = task.change(TaskState::running, state, place_, place_);
  if (!before) before = task.change(TaskState::cancelling, TaskState::cancelled, place_, place_);
  if (!before) wait_to_be_ended(task);
  passed(PoolStep::published);
  if (before && before->awaited) {
    wake_host(task);
  } else {
    shared_trips_ = 0;
  }
  if (before && before->watched) call_keeper();
}

/// Its time was up before it came back: the keeper ends us for it, and must find it here.
void PoolWorker::wait_to_be_ended(const TaskSlot& task) noexcept {
  while (task.load().state == TaskState::ending && task.load().seat == place_) {
    os::futex_wait(os::futex_word(seat_.hold), 1);
  }
}

/// It may be waiting for this very CPU, and then gets it. When that goes on, this worker moves to
/// another one, before the host is awake and could be moved as well: the scheduler would leave both
/// here, with two switches a task.
void PoolWorker::wake_host(TaskSlot& task) noexcept {
  constexpr int kLastMove = 16384;
  const std::uint16_t cpu = current_cpu();
  store_if_new(table_.worker_cpu[place_], cpu);
  shares_cpu_ = table_.host_cpu.load(std::memory_order_relaxed) == cpu;
  if (!shares_cpu_) {
    shared_trips_ = 0;
  } else if (++shared_trips_ >= move_after_) {
    shared_trips_ = 0;
    move_after_ = std::min(2 * move_after_, kLastMove);
    shares_cpu_ = !move_from(cpu);
  }
  woke_host_ = !shares_cpu_;
  os::futex_wake_all(os::futex_word(task.word));
  if (shares_cpu_) ::sched_yield();
}

/// By our affinity without it, and back. False: there is no other CPU for us.
bool PoolWorker::move_from(std::uint16_t cpu) noexcept {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || cpu == 0) return false;
  cpu_set_t others = allowed;
  CPU_CLR(std::size_t{cpu} - 1, &others);
  if (CPU_COUNT(&others) == 0 || ::sched_setaffinity(0, sizeof others, &others) != 0) return false;
  ::sched_setaffinity(0, sizeof allowed, &allowed);
  store_if_new(table_.worker_cpu[place_], current_cpu());
  return true;
}

/// To another CPU, when one who is awake was last on ours, where the scheduler wakes him: it leaves
/// both there for milliseconds, though others sleep. That we are about to is known first, or he
/// would go there as well.
void PoolWorker::part_from_others() noexcept {
  const std::uint16_t cpu = current_cpu();
  store_if_new(table_.worker_cpu[place_], cpu);
  if (table_.alive.load(std::memory_order_relaxed) > table_.cpus + table_.parked.count()) return;
  for (std::size_t i = 0; i < memory_.seats().size(); ++i) {
    if (i == place_ || table_.parked.contains(i)) continue;
    if (table_.worker_cpu[i].load() != cpu) continue;
    table_.worker_cpu[place_].store(0);
    if (!move_from(cpu)) table_.worker_cpu[place_].store(cpu);
    return;
  }
}

std::string PoolWorker::stderr_tail() const {
  constexpr std::uint64_t kTail = 4096;
  const std::uint64_t until = errors_written();
  std::uint64_t from = seat_.errors_at_task.load(std::memory_order_relaxed);
  if (until <= from) return {};
  from = std::max(from, until - std::min(until, kTail));
  std::string text(static_cast<std::size_t>(until - from), '\0');
  const ssize_t got = ::pread(STDERR_FILENO, text.data(), text.size(), static_cast<off_t>(from));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

void PoolWorker::call_keeper() const noexcept {
  if (table_.keeper_called.exchange(1) != 0) return;
  passed(PoolStep::calling_keeper);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(keeper_fd_, &one, sizeof one);
}

void PoolWorker::wake_another() const noexcept {
  if (memory_.wake_worker() != PoolMemory::Waking::call_keeper) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(keeper_fd_, &one, sizeof one);
}

}  // namespace tine::work
