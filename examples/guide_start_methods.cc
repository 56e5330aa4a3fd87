// SPDX-License-Identifier: MIT

/// What docs/library.md says of start methods.

#include <tine/tine.h>

#include <cstdio>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace {

std::vector<std::string> dictionary;

void load_dictionary() { dictionary = {"spoon", "fork", "tine"}; }

std::string word(int number) { return dictionary.at(static_cast<std::size_t>(number)); }

double mean(const std::vector<double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (auto code = tine::worker_main(argc, argv)) return *code;
  if (auto started = tine::ForkServer::start({.preload = load_dictionary}); !started) return 1;

  std::jthread other([](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
  });

  const auto refused = tine::call([] { return 1; });
  if (refused.error().error->kind == tine::ErrorKind::threads_running) std::puts("not forked");

  const auto second = tine::call({.start = tine::StartMethod::fork_server}, word, 1);
  std::printf("by the fork server: %s\n", second->c_str());

  const std::vector<double> numbers{1, 2, 6};
  const auto average = tine::call({.start = tine::StartMethod::spawn}, mean, numbers);
  std::printf("spawned: %.0f\n", *average);

  tine::Pool pool{{.workers = 2, .start = tine::StartMethod::fork_server}};
  for (const auto& result : pool.map(std::vector<int>{0, 2, 7}, word)) {
    std::printf("%s\n", result ? result->c_str() : result.error().message.c_str());
  }
}
