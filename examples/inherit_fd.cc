// SPDX-License-Identifier: MIT

/// A file that the parent opened, written by both sides at once: no line lost, none twice.
///
/// Python:  log = open("log", "a"); os.fork(); os.write(log.fileno(), b"...")
/// Shell:   exec 3>>log; child & echo parent >&3; wait
/// One write per line, and O_APPEND or one shared offset: then the kernel keeps lines whole.

#include <fcntl.h>
#include <tine/tine.h>

#include <cstdio>
#include <map>
#include <string>

namespace {

constexpr int kLines = 1000;

bool write_lines(tine::WriteEnd& log, const std::string& who) {
  for (int i = 0; i < kLines; ++i) {
    if (!log.write_all(who + " " + std::to_string(i) + "\n")) return false;
  }
  return true;
}

int fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  return 1;
}

}  // namespace

int main() {
  tine::WriteEnd log{tine::Fd{::open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600)}};
  if (!log.fd()) return fail("no temporary file in /tmp");

  // A forked child has every descriptor of its parent.
  auto child = tine::launch([&log] { return write_lines(log, "child") ? 0 : 1; });
  if (!child) return fail(child.error().to_string());
  if (!write_lines(log, "parent")) return fail("the parent cannot write");
  if (const auto end = child->wait(); !end || !end->status.success()) return fail("child failed");

  // A program has only the ones it is given: here as its descriptor 5.
  const auto program = tine::Command{"sh", "-c", "echo program 0 >&5"}
                           .fd(5, tine::Redirect::fd(log.fd().get()))
                           .run();
  if (!program) return fail(program.error().to_string());

  std::map<std::string, int> seen;
  ::lseek(log.fd().get(), 0, SEEK_SET);
  tine::ReadEnd reader{std::move(log.fd())};
  const auto text = reader.read_all();
  if (!text) return fail(text.error().to_string());
  for (std::size_t at = 0; at < text->size();) {
    const auto end = text->find('\n', at);
    ++seen[text->substr(at, end - at)];
    at = end + 1;
  }

  int once = 0;
  for (const auto& [line, times] : seen) once += times == 1 ? 1 : 0;
  std::printf("%zu different lines, %d of them exactly once\n", seen.size(), once);
  for (const char* who : {"parent", "child", "program"}) {
    int lines = 0;
    for (int i = 0; i < kLines; ++i) lines += seen[std::string(who) + " " + std::to_string(i)];
    std::printf("%s: %d lines\n", who, lines);
  }
  return 0;
}
