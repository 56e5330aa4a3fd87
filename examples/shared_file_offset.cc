// SPDX-License-Identifier: MIT

/// What two processes do to each other through one file, each time with the safe way beside it.
///
/// A descriptor leads to an open file description, and that holds the offset. fork() and dup()
/// share the description, open() makes a new one; a buffer in user space is shared by nobody.
/// Shell:   (read a; read b) < file      # one description: two different lines

#include <fcntl.h>
#include <stdlib.h>
#include <tine/tine.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

using tine::throwing::value;

namespace {

/// Runs `work` in a child to its end; it reads our stdin.
template <class Work>
void in_child(Work work) {
  auto child = value(tine::launch({.inherit_stdin = true}, work));
  if (!value(child.wait()).status.success()) throw std::runtime_error("a child failed");
}

void put(const tine::Fd& file, std::string_view text) {
  if (::write(file.get(), text.data(), text.size()) < 0) throw std::runtime_error("write");
}

/// Up to the newline, one byte at a time: takes nothing that it does not give.
std::string line_from(int fd) {
  std::string line;
  for (char c; ::read(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

class Scratch {
 public:
  Scratch() : file_(::mkostemp(path_, O_CLOEXEC)) {
    if (!file_) throw std::runtime_error("no temporary file");
  }
  ~Scratch() { ::unlink(path_); }
  [[nodiscard]] tine::Fd open(int flags) const {
    return tine::Fd{::open(path_, flags | O_CLOEXEC)};
  }
  [[nodiscard]] const tine::Fd& file() const { return file_; }
  [[nodiscard]] std::string text() const { return value(tine::ReadEnd(open(O_RDONLY)).read_all()); }

 private:
  char path_[32] = "/tmp/tine-example-XXXXXX";
  tine::Fd file_;
};

void show(const char* title, std::string text) {
  for (char& c : text) c = c == '\n' ? '|' : c;
  std::cout << "  " << title << ": " << text << '\n';
}

void writing() {
  std::cout << "Two processes write to one file\n";
  const auto both = [](auto open_for) {
    const Scratch scratch;
    const tine::Fd ours = open_for(scratch);
    in_child([&] { put(open_for(scratch), "child\n"); });
    put(ours, "PARENT\n");
    return scratch.text();
  };
  const Scratch shared;
  in_child([&] { put(shared.file(), "child\n"); });
  put(shared.file(), "PARENT\n");
  show("one description, one offset: they take turns", shared.text());
  show("each opened it: both begin at 0, and one is lost",
       both([](const Scratch& s) { return s.open(O_WRONLY); }));
  show("safe, each opened it with O_APPEND: every write goes to the end",
       both([](const Scratch& s) { return s.open(O_WRONLY | O_APPEND); }));
}

void reading() {
  std::cout << "Two processes read one file\n";
  const Scratch scratch;
  put(scratch.file(), "one\ntwo\nthree\n");
  const tine::Fd shared = scratch.open(O_RDONLY);
  in_child([&] { show("one description, the child reads", line_from(shared.get())); });
  show("one description, the parent reads on where it stopped", line_from(shared.get()));
  in_child([&] {
    show("safe, opened again, the child reads", line_from(scratch.open(O_RDONLY).get()));
  });
  show("safe, opened again, the parent reads", line_from(scratch.open(O_RDONLY).get()));
}

void reading_stdin() {
  std::cout << "Two processes read one stdin\n";
  const tine::Command next_line{"sh", "-c", "read -r line && echo \"$line\" || echo nothing"};
  const Scratch scratch;
  put(scratch.file(), "one\ntwo\nthree\nfour\n");
  if (::dup2(scratch.open(O_RDONLY).get(), STDIN_FILENO) < 0) throw std::runtime_error("dup2");
  std::string line;

  show("safe, without a buffer, the parent reads", line_from(STDIN_FILENO));
  show("safe, without a buffer, the child reads the next line", value(next_line.read()));
  std::getline(std::cin, line);
  show("through std::cin the parent reads", line);
  show("its buffer has taken the rest: the child reads", value(next_line.read()));
  in_child([] {
    std::string copy;
    std::getline(std::cin, copy);
    show("but a forked child has a copy of the buffer, and reads", copy);
  });
  std::getline(std::cin, line);
  show("which does not keep the parent from reading the same", line);
  show("safe, an input of its own: the child reads",
       value(tine::Command(next_line).input("mine\n").read()));
}

}  // namespace

int main() try {
  writing();
  reading();
  reading_stdin();
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
