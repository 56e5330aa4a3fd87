// SPDX-License-Identifier: MIT

/// exec: another program takes over this process, which stays the same process.
///
/// Python:  os.execl, execle, execlp, execlpe, execv, execve, execvp, execvpe. All eight are one
///          here: l or v is Command{...} or Command::of, p is a name without '/', e is env().
/// Shell:   exec program args

#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

namespace {

/// Forks, and lets the child become the program. False: it could not.
bool become(const char* form, const tine::Command& command) {
  auto child = tine::launch([&] {
    std::printf("%s\n  before: pid %d\n", form, ::getpid());
    std::fflush(stdout);  // exec forgets what stands in buffers
    const tine::Error error = command.exec();
    std::printf("  still here: %s\n", error.to_string().c_str());
    return 1;
  });
  if (!child) return false;
  const auto end = child->wait();
  if (!end) return false;
  std::printf("  pid %d %s\n", child->pid(), end->status.to_string().c_str());
  return end->status.success();
}

}  // namespace

int main() {
  const std::string after = "echo \"  after: pid $$, called $0, GREETING is '$GREETING'\"";
  const std::vector<std::string> words{"sh", "-c", after};

  bool ok = become("words, found in PATH (execlp)", {"sh", "-c", after});
  ok = become("a vector, by its path (execv)", tine::Command::of({"/bin/sh", "-c", after})) && ok;
  ok = become("with one variable more (execvpe)", tine::Command::of(words).env("GREETING", "hi")) &&
       ok;
  ok = become("with nothing but that variable (execve)",
              tine::Command{"/bin/sh", "-c", after}.env_clear().env("GREETING", "alone")) &&
       ok;
  ok = become("under another name", tine::Command::of(words).arg0("alias")) && ok;

  const bool became_nothing = become("a program that does not exist", {"/no/such/program"});
  return ok && !became_nothing ? 0 : 1;
}
