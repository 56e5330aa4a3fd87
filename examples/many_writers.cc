// SPDX-License-Identifier: MIT

/// A thousand children that all write, each into a pipe of its own: one loop, no thread for any.
///
/// Python:  for child in children: select.select([c.fd for c in children], [], []) ...
/// Shell:   for i in ...; do child $i | sed "s/^/$i: /" & done; wait      # a process more per
/// child Every child stays until all of them have spoken, so they do run at the same time.

#include <sys/resource.h>
#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kChildren = 1000;

/// Each child costs three descriptors; the usual soft limit is 1024 and the hard one is high.
bool allow_many_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > 3 * kChildren + 100;
}

}  // namespace

int main() {
  if (!allow_many_descriptors()) {
    std::fprintf(stderr, "the hard limit of open files is too low\n");
    return 1;
  }
  auto gate = tine::Pipe::create();
  if (!gate) return 1;

  std::vector<std::string> lines(kChildren);  // what each child has said, tagged by its place
  std::size_t spoken = 0;
  tine::BatchOptions options{.jobs = kChildren, .output = tine::BatchOutput::lines};
  options.on_output = [&](const tine::RunningJob& job, tine::Piece piece) {
    if (lines[job.index].empty() && ++spoken == kChildren) gate->writer.close();
    lines[job.index] += piece.text;
  };
  tine::Batch batch{options};
  for (std::size_t i = 0; i < kChildren; ++i) {
    batch.add(tine::Command{"sh", "-c", "echo \"I am number $0\"; read -r end <&3; echo bye", i}
                  .unchecked()
                  .fd(3, tine::Redirect::fd(gate->reader.fd().get())));
  }

  std::size_t ended = 0;
  while (const auto outcome = batch.next()) {
    if (outcome->result) {
      ++ended;
    } else {
      std::fprintf(stderr, "%s\n", outcome->result.error().to_string().c_str());
      gate->writer.close();  // the others need not wait for it
    }
  }

  std::size_t complete = 0;
  for (std::size_t i = 0; i < kChildren; ++i) {
    complete += lines[i] == "I am number " + std::to_string(i) + "\nbye\n" ? 1 : 0;
  }
  const auto self = tine::process_info(::getpid());
  std::printf("%zu children ended, %zu said all they had to say, under their own tag\n", ended,
              complete);
  std::printf("threads in this process: %d\n", self ? self->threads : -1);
  std::printf("number 999:\n%s", lines[999].c_str());
  return ended == kChildren ? 0 : 1;
}
