// SPDX-License-Identifier: MIT

/// A function in a child: nothing that it does can hurt this process.

#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <thread>

using namespace tine::literals;
using tine::throwing::value;

namespace {

void how_it_ended(const char* what, tine::Child child) {
  const auto end = value(child.wait());
  std::printf("%s: %s%s\n", what, end.status.to_string().c_str(),
              child.timed_out() ? ", its time was up" : "");
}

int answer(int question) { return question * 2; }

[[noreturn]] void wait_for_ever() {
  for (;;) ::pause();
}

}  // namespace

int main() try {
  how_it_ended("returns", value(tine::launch(answer, 21)));
  how_it_ended("throws", value(tine::launch([] { throw std::runtime_error("see stderr"); })));
  how_it_ended("is killed", value(tine::launch([] { return ::kill(::getpid(), SIGKILL); })));
  how_it_ended("hangs", value(tine::launch({.timeout = 300ms}, wait_for_ever)));

  // With threads about, a lock might be held for ever in the child: refused, unless promised.
  auto gate = value(tine::Pipe::create());
  std::thread worker([&gate] { (void)gate.reader.read_all(); });
  const auto refused = tine::launch(answer, 21);
  auto promised = tine::launch({.threads = tine::ThreadPolicy::allow}, answer, 21);
  gate.writer.close();
  worker.join();
  std::printf(
      "with threads: %s\n",
      !refused && refused.error().kind == tine::ErrorKind::threads_running ? "refused" : "?");
  how_it_ended("promised", value(std::move(promised)));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
