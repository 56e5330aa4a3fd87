// SPDX-License-Identifier: MIT
// map_items WORKERS: maps items that never end, each with a child of its own in another session;
// prints the pids of workers and children, one line per item, then waits for its end.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ranges>

#include "tine/map.h"

int main(int, char** argv) {
  const int workers = std::atoi(argv[1]);
  const auto results = tine::map(std::views::iota(0, workers),
                                 [](int) {
                                   const pid_t child = ::fork();
                                   if (child == 0) {
                                     ::setsid();
                                     for (;;) ::pause();
                                   }
                                   ::dprintf(STDOUT_FILENO, "%d %d\n", static_cast<int>(::getpid()),
                                             static_cast<int>(child));
                                   for (;;) ::pause();
                                 },
                                 {.workers = workers});
  return results.all_succeeded() ? 0 : 1;
}
