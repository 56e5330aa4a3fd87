// SPDX-License-Identifier: MIT

/// Streams: where they lead, reading them while they come, and a dialogue.
///
/// Shell:   the line above each call

#include <stdlib.h>
#include <tine/tine.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

using namespace tine::literals;
using tine::Redirect;
using tine::throwing::value;

namespace {

void lines_as_they_come() {
  // seq 1000000000 | while read -r line; do [ "$line" = 3 ] && break; done
  int seen = 0;
  const auto result = tine::Command{"seq", 1000000000}.each_line([&](tine::Piece line) {
    ++seen;
    return line.text != "3";  // false: enough, close the stream
  });
  std::printf("each_line: %d lines, then %s\n", seen,
              result ? result->status.to_string().c_str() : result.error().to_string().c_str());
}

void where_streams_lead(const std::filesystem::path& dir) {
  const tine::Command speak{"sh", "-c", "echo to stdout; echo to stderr >&2"};
  // speak > log 2>&1; speak >> log 2> /dev/null
  value(tine::Command(speak).out(Redirect::write(dir / "log")).err(Redirect::same_as(1)).run());
  value(tine::Command(speak).out(Redirect::append(dir / "log")).err(Redirect::null()).run());
  // cat < log
  const auto log = value(tine::Command{"cat"}.in(Redirect::read(dir / "log")).read());
  std::printf("log:\n%s\n", log.c_str());
}

void limits() {
  const auto flood = tine::Command{"yes"}.capture_limit(1000).capture();
  std::printf("too much: %s\n", flood ? "?" : flood.error().error->to_string().c_str());
  const auto cut =
      tine::Command{"seq", 100000}.capture_limit(10, tine::OnLimit::truncate).capture();
  std::printf("truncated: %zu bytes kept\n", cut ? cut->out.size() : 0);
}

void dialogue() {
  auto talk =
      value(tine::Command{"sh", "-c", "while read -r a b; do echo $((a + b)); done"}.converse());
  for (const char* question : {"1 2\n", "40 2\n"}) {
    if (auto sent = talk.send(question); !sent) throw tine::ErrorException(sent.error());
    const auto answer = value(talk.read_line(10s));
    std::printf("answer: %s\n", answer ? answer->c_str() : "(the end)");
  }
  const auto end = value(talk.finish());
  std::printf("finish: %s\n", end.status.to_string().c_str());
}

}  // namespace

int main() try {
  char dir[] = "/tmp/tine-example-XXXXXX";
  if (::mkdtemp(dir) == nullptr) return 1;
  lines_as_they_come();
  where_streams_lead(dir);
  limits();
  dialogue();
  std::filesystem::remove_all(dir);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
