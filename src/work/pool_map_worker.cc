// SPDX-License-Identifier: MIT
#include "work/pool_map_worker.h"

#include "os/futex.h"
#include "os/life_word.h"
#include "tine/detail/map_body.h"

namespace tine::work {

void PoolMapWorker::on_timed() { site_.tell_deadline(shape().timing.started->load()); }

std::vector<std::byte> PoolMapWorker::failure_note() const { return site_.note_of_failure(); }

/// The pool's bell is not heard here, so it looks for other work now and then.
bool PoolMapWorker::sleep_for_items(std::uint32_t offers_seen) {
  constexpr std::int64_t kLook = 2'000'000;
  if (site_.has_other_work()) return false;
  const std::chrono::nanoseconds until(detail::now_ns() + kLook);
  os::futex_wait_until(os::futex_word(shape().table.offers), offers_seen,
                       std::chrono::steady_clock::time_point(until));
  return true;
}

}  // namespace tine::work
