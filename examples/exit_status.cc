// SPDX-License-Identifier: MIT

/// How a child ended: what wait(2) says in one integer, taken apart.
///
/// Python:  pid, status = os.wait()     # (4711, 768)
///          code, signal = status >> 8, status & 0x7f
/// Shell:   sh -c 'exit 3'; echo $?     # which says 128+n for a signal

#include <signal.h>
#include <tine/tine.h>

#include <cstdio>
#include <functional>

namespace {

void show_raw(int raw) {
  const auto status = tine::ExitStatus::from_wait_status(raw);
  std::printf("%5d = 0x%04x: %s\n", raw, static_cast<unsigned>(raw), status.to_string().c_str());
}

/// Runs `work` in a child and shows its end: a code or a signal, never a mixture.
bool show_child(const char* what, const std::function<int()>& work) {
  auto child = tine::launch(work);
  if (!child) return false;
  const auto finished = child->wait();
  if (!finished) return false;
  const tine::ExitStatus status = finished->status;
  std::printf("%-14s code %3d, signal %2d, success %d: %s\n", what, status.code().value_or(-1),
              status.signal().value_or(0), status.success(), status.to_string().c_str());
  return true;
}

}  // namespace

int main() {
  for (const int raw : {0, 768, 127 << 8, 255 << 8, SIGKILL, SIGSEGV | 0x80}) show_raw(raw);

  const bool shown = show_child("returns 0", [] { return 0; }) &&
                     show_child("returns 3", [] { return 3; }) &&
                     show_child("returns 127", [] { return 127; }) &&
                     show_child("returns 255", [] { return 255; }) &&
                     show_child("kills itself", [] { return ::raise(SIGKILL); });
  return shown ? 0 : 1;
}
