// SPDX-License-Identifier: MIT

/// docs/library.md: many small tasks on workers that stay.

#include <tine/tine.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

std::string model;  // each worker has its own

void load_model() { model = "model"; }

std::size_t score(const std::string& document, int weight) {
  if (document.empty()) throw std::invalid_argument("nothing to score");
  return static_cast<std::size_t>(weight) * (model + document).size();
}

void show(const char* what, tine::PoolFuture<std::size_t> future) {
  const auto result = future.get();
  if (result) {
    std::printf("%s: %zu\n", what, *result);
  } else {
    const tine::Failure& failure = result.error();
    std::printf("%s: %s%s%s\n", what, std::string(to_string(failure.cause)).c_str(),
                failure.message.empty() ? "" : ", ", failure.message.c_str());
  }
}

}  // namespace

int main() {
  tine::Pool pool{{.workers = 2, .recycle = {.after_tasks = 1000}, .initializer = load_model}};

  // A function and its arguments, which travel; functions with captures do not compile.
  show("a score", pool.submit(score, "document", 2));
  show("an exception", pool.submit(score, "", 2));
  show("a crash", pool.submit([]() -> std::size_t { std::abort(); }));
  show("a hang", pool.submit({.timeout = 100ms}, []() -> std::size_t {
    for (;;) {
    }
  }));

  // Many at once; the values come back in whatever order they are asked for.
  std::vector<tine::PoolFuture<int>> squares;
  for (int n = 0; n < 1000; ++n) squares.push_back(pool.submit([](int of) { return of * of; }, n));
  long sum = 0;
  for (auto& square : squares) sum += square.get().value();
  std::printf("a sum: %ld\n", sum);

  // A large result, read where its worker has put it.
  auto table = pool.submit([] { return std::vector<double>(1'000'000, 0.5); });
  std::printf("in place: %zu numbers\n", table.get_in_place().value().size());

  // What is no longer wanted.
  auto unwanted = pool.submit([] {
    for (;;) {
    }
  });
  unwanted.cancel();
  std::printf("cancelled: %s\n",
              unwanted.get().error().cause == tine::Cause::cancelled ? "yes" : "no");

  pool.shutdown();
  std::printf("afterwards: %s\n", pool.submit(score, "late", 1).get().error().to_string().c_str());
}
