// SPDX-License-Identifier: MIT
#include "os/own_pid.h"

#include <unistd.h>

#include <atomic>

#include "os/wiped_pages.h"

namespace tine::os {
namespace {

using Page = std::atomic<pid_t>;

constinit Page unwiped{0};  ///< stands for a page that could not be had
constinit std::atomic<Page*> page_in_use{nullptr};

/// The first one made is for all. Not a static variable of a function: a fork in the middle of its
/// initialisation would leave it locked in the child.
Page* first_made() noexcept {
  void* const at = map_wiped_pages(sizeof(Page));
  Page* const made = at != nullptr ? static_cast<Page*>(at) : &unwiped;
  Page* first = nullptr;
  if (page_in_use.compare_exchange_strong(first, made, std::memory_order_acq_rel)) return made;
  if (made != &unwiped) ::munmap(made, sizeof(Page));
  return first;
}

}  // namespace

pid_t own_pid() noexcept {
  Page* page = page_in_use.load(std::memory_order_acquire);
  if (page == nullptr) page = first_made();
  if (page == &unwiped) return ::getpid();  // the kernel cannot wipe: every question goes to it
  const pid_t known = page->load(std::memory_order_relaxed);
  if (known != 0) return known;
  const pid_t self = ::getpid();
  page->store(self, std::memory_order_relaxed);
  return self;
}

}  // namespace tine::os
