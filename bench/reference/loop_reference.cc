// SPDX-License-Identifier: MIT
/// Reference for "many jobs, K in flight": clone3 + pidfd + epoll, and no features. The least that
/// the kernel allows for `tine run`, for its captured output (files) and its bulk output (memfd).
///
///   loop_reference [-j K] [--output inherit|null|files|memfd] N PROGRAM [ARG...]
///
/// A word of the command that is `{}` becomes the number of the job, 1 to N. PROGRAM is a path.
/// files: a job's stdout goes to an unlinked file below $TMPDIR, memfd: to one in memory; either is
/// copied to our stdout by sendfile when all jobs before it are done.
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "bare_spawn.h"

namespace {

using bare::check;

/// The descriptors that take the jobs' output. One that has been emitted serves another job: making
/// a file costs more than emptying one. It is emptied, never overwritten, for a pipe that we
/// sent its pages to still holds them.
class Outputs {
 public:
  Outputs(std::string_view kind, int jobs) : kind_(kind), done_(jobs, -1) {}

  int take() {
    if (kind_ == "inherit") return -1;
    if (kind_ == "null")
      return null_ >= 0 ? null_ : null_ = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (free_.empty()) return make();
    const int fd = free_.back();
    free_.pop_back();
    return fd;
  }

  void give_back(int job, int fd) {
    if (kind_ == "inherit" || kind_ == "null") return;
    done_[job] = fd;
    for (; next_ < done_.size() && done_[next_] >= 0; ++next_) emit(done_[next_]);
  }

 private:
  int make() {
    if (kind_ == "memfd") return check(memfd_create("job", MFD_CLOEXEC), "memfd_create");
    const char* const folder = std::getenv("TMPDIR");
    const int flags = O_TMPFILE | O_RDWR | O_CLOEXEC;
    return check(open(folder == nullptr ? "/tmp" : folder, flags, 0600), "O_TMPFILE");
  }

  void emit(int fd) {
    struct stat info{};
    check(fstat(fd, &info), "fstat");
    off_t at = 0;
    while (at < info.st_size) {
      if (sendfile(1, fd, &at, static_cast<std::size_t>(info.st_size - at)) <= 0) {
        bare::die("sendfile");
      }
    }
    check(ftruncate(fd, 0), "ftruncate");
    lseek(fd, 0, SEEK_SET);
    free_.push_back(fd);
  }

  std::string_view kind_;
  std::vector<int> done_;  // by job: its finished output, not yet emitted
  std::size_t next_ = 0;
  std::vector<int> free_;
  int null_ = -1;
};

struct Running {
  int pidfd;
  int out;
  int job;
};

class Loop {
 public:
  Loop(std::vector<char*> command, int jobs, int in_flight, std::string_view output)
      : command_(std::move(command)), jobs_(jobs), outputs_(output, jobs), running_(in_flight) {
    for (char*& word : command_) {
      if (word != nullptr && std::string_view(word) == "{}") word = number_;
    }
  }

  void run() {
    for (int slot = 0; slot < static_cast<int>(running_.size()) && started_ < jobs_; ++slot) {
      start(slot);
    }
    while (ended_ < jobs_) await();
  }

 private:
  void start(int slot) {
    const int job = started_++;
    // One buffer serves all jobs: clone3 returns after exec, which has copied it.
    std::snprintf(number_, sizeof number_, "%d", job + 1);
    const int out = outputs_.take();
    const int pidfd = bare::start_clone3({.argv = command_.data(), .out = out});
    running_[slot] = {pidfd, out, job};
    epoll_event event{.events = EPOLLIN, .data = {.u32 = static_cast<std::uint32_t>(slot)}};
    check(epoll_ctl(epoll_, EPOLL_CTL_ADD, pidfd, &event), "epoll_ctl");
  }

  void await() {
    epoll_event events[64];
    const int count = epoll_wait(epoll_, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int slot = static_cast<int>(events[i].data.u32);
      const Running ended = running_[slot];
      // Closing is not enough: the other child may not have closed its copy yet, for vfork lets us
      // go on before exec closes descriptors, and a copy keeps the registration alive.
      check(epoll_ctl(epoll_, EPOLL_CTL_DEL, ended.pidfd, nullptr), "epoll_ctl");
      bare::wait_for_pidfd(ended.pidfd, command_[0]);
      ++ended_;
      if (started_ < jobs_) start(slot);  // before copying: the cores have something to do
      outputs_.give_back(ended.job, ended.out);
    }
  }

  std::vector<char*> command_;
  char number_[12] = "";
  int jobs_;
  int started_ = 0;
  int ended_ = 0;
  Outputs outputs_;
  std::vector<Running> running_;
  int epoll_ = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

}  // namespace

int main(int argc, char** argv) {
  int in_flight = 2;
  std::string_view output = "inherit";
  int at = 1;
  for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
    const std::string_view name = argv[at];
    if (name == "-j") in_flight = std::atoi(argv[at + 1]);
    if (name == "--output") output = argv[at + 1];
  }
  if (at + 2 > argc) {
    std::fputs("usage: loop_reference [-j K] [--output KIND] N PROGRAM [ARG...]\n", stderr);
    return 1;
  }
  std::vector<char*> command(argv + at + 1, argv + argc);
  command.push_back(nullptr);
  Loop(std::move(command), std::atoi(argv[at]), in_flight, output).run();
}
