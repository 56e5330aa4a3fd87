// SPDX-License-Identifier: MIT

/// Messages from a child through a pipe: bytes, and values of one type.
///
/// Python:  r, w = os.pipe()
///          if os.fork() == 0: os.close(r); os.write(w, b"hello"); os._exit(0)
///          os.close(w); print(os.read(r, 100))
/// Whoever keeps a writing end open, the reader itself included, keeps the end from coming.

#include <tine/tine.h>

#include <cstdio>
#include <exception>
#include <string>

using tine::throwing::value;

namespace {

struct Measurement {
  int step;
  double temperature;
};

void bytes() {
  auto pipe = value(tine::Pipe::create());
  auto child = value(tine::launch([&] {
    pipe.reader.close();  // with no reader left, a write is an error and no message to nobody
    return pipe.writer.write_all("hello from the child") ? 0 : 1;
  }));
  pipe.writer.close();  // or read_all would wait for ever: for us
  std::printf("bytes: %s\n", value(pipe.reader.read_all()).c_str());
  std::printf("bytes: the child %s\n", value(child.wait()).status.to_string().c_str());
}

void values() {
  auto pipe = value(tine::TypedPipe<Measurement>::create());
  auto child = value(tine::launch([&] {
    for (int step = 1; step <= 3; ++step) {
      if (!pipe.send({step, 20 + step / 2.0})) return 1;
    }
    return 0;
  }));
  pipe.writer.close();
  while (auto next = value(pipe.receive())) {
    std::printf("value: step %d, %.1f degrees\n", next->step, next->temperature);
  }
  std::printf("value: the end; the child %s\n", value(child.wait()).status.to_string().c_str());
}

void nobody_reads() {
  auto pipe = value(tine::Pipe::create());
  pipe.reader.close();
  const auto sent = pipe.writer.write_all("into the void");
  std::printf("no reader: %s\n", sent ? "sent?" : sent.error().to_string().c_str());
}

}  // namespace

int main() try {
  bytes();
  values();
  nobody_reads();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
