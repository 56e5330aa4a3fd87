// SPDX-License-Identifier: MIT

/// Programs joined by pipes, all at the same time, and the status of each one.
///
/// Python:  p1 = Popen(["ls", "-al"], stdout=PIPE); p2 = Popen(["grep", ...], stdin=p1.stdout) ...
/// Shell:   ls -al | grep -F .py | wc -l; echo "${PIPESTATUS[@]}"

#include <stdlib.h>
#include <tine/tine.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>

using tine::Command;

namespace {

class SomeFiles {
 public:
  SomeFiles() {
    if (::mkdtemp(path_) == nullptr) throw std::runtime_error("no temporary directory");
    for (const char* name : {"a.py", "b.py", "c.txt"}) std::ofstream(dir() / name) << name;
  }
  ~SomeFiles() { std::filesystem::remove_all(dir()); }
  [[nodiscard]] std::filesystem::path dir() const { return path_; }

 private:
  char path_[32] = "/tmp/tine-example-XXXXXX";
};

void show_stages(const char* title, const tine::Result<tine::PipelineOutput>& result) {
  std::printf("%s: %s\n", title, result ? "success" : result.error().to_string().c_str());
  if (!result) return;
  for (const auto& stage : result->stages) {
    std::printf("  %s %s%s\n", stage.name.c_str(), stage.finished.status.to_string().c_str(),
                stage.reader_left ? ": its reader had left, which is no failure" : "");
  }
}

}  // namespace

int main() try {
  const SomeFiles files;
  const auto ours =
      (Command{"ls", "-al"}.dir(files.dir()) | Command{"grep", "-F", ".py"} | Command{"wc", "-l"})
          .read();
  const auto shells = Command::shell("ls -al | grep -F .py | wc -l").dir(files.dir()).read();
  if (!ours || !shells) return 1;
  std::printf("tine counts %s, the shell counts %s\n", ours->c_str(), shells->c_str());

  show_stages("all succeed",
              (Command{"echo", "x"} | Command{"cat"} | Command{"grep", "-q", "x"}).run());
  show_stages("the reader leaves early",
              (Command{"yes"} | Command{"head", "-n", 1}.out(tine::Redirect::null())).run());
  show_stages("the first one fails", (Command{"sh", "-c", "exit 3"} | Command{"cat"}).run());
  show_stages("one cannot start",
              (Command{"cat", "/dev/zero"} | Command{"/no/such/program"}).run());
  show_stages("unchecked", (Command{"false"} | Command{"true"}).unchecked().run());
  return *ours == *shells ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
