// SPDX-License-Identifier: MIT

/// Who survives a parent that is gone? Nobody, unless it was asked for with detach().
///
/// Python:  for i in range(10): if os.fork() == 0: count_slowly(); os._exit(0)
///          os._exit(0)        # ten orphans count on, adopted by init, into the same terminal
/// Shell:   (setsid sh -c 'count' &)

#include <tine/tine.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

using tine::throwing::value;

namespace {

constexpr int kChildren = 10;

/// What the three generations share. Nobody passes the gate while this process keeps it shut.
struct Scene {
  tine::Pipe gate = value(tine::Pipe::create());
  tine::Pipe output = value(tine::Pipe::create());

  void wait_at_gate() {
    gate.writer.close();  // our copy, or we would wait for ourselves
    (void)gate.reader.read_all();
  }
  void say(const std::string& line) {
    if (!output.writer.write_all(line + "\n")) std::terminate();
  }
};

/// The host: has ten children, then waits to be killed, or (`detach`) ends at once.
int host(Scene& scene, bool detach) {
  std::vector<tine::Child> children;
  for (int i = 0; i < kChildren; ++i) {
    children.push_back(value(tine::launch({.detach = detach}, [&scene, i] {
      if (i + 1 == kChildren) scene.say("ready");
      scene.wait_at_gate();
      scene.say("child " + std::to_string(i) + " counted 1 2 3, now a child of pid " +
                std::to_string(::getppid()));
    })));
  }
  if (!detach) scene.wait_at_gate();
  return 0;
}

/// Ends when no process is left that could write.
void print_what_comes(Scene& scene) {
  scene.output.writer.close();
  std::istringstream text(value(scene.output.reader.read_all()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  std::ranges::sort(lines);
  for (const auto& line : lines) {
    if (line != "ready") std::printf("  %s\n", line.c_str());
  }
}

void without_detach() {
  Scene scene;
  auto parent = value(tine::launch(host, scene, false));
  std::printf("pid %d has %d children and is killed with SIGKILL\n", parent.pid(), kChildren);
  std::string ready(6, ' ');
  (void)value(scene.output.reader.read_full(ready));
  if (!parent.send(tine::Signal::kill)) std::terminate();
  (void)value(parent.wait());
  // The gate is still shut, so they would hold the pipe open for ever if one of them lived.
  print_what_comes(scene);
  std::printf("the last of its children is gone, and none has counted\n");
}

void with_detach() {
  Scene scene;
  auto parent = value(tine::launch(host, scene, true));
  const auto end = value(parent.wait());
  std::printf("pid %d detached %d children and %s\n", parent.pid(), kChildren,
              end.status.to_string().c_str());
  scene.gate.writer.close();
  // Their output still goes where it went: into the pipe that they inherited.
  print_what_comes(scene);
}

}  // namespace

int main() try {
  without_detach();
  with_detach();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
