// SPDX-License-Identifier: MIT

/// Where descriptors lead.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "support/clean_process_test.h"
#include "tine/tine.h"

namespace tine {
namespace {

using namespace tine::literals;
using test::child_program;
using test::in_a_fork;
using test::read_text;
using test::TemporaryDirectory;

struct RedirectTest : test::CleanProcessTest {};

Command echo(const std::string& text) { return {"printf", "%s", text}; }

TEST_F(RedirectTest, NullSwallowsAndIsEmpty) {
  EXPECT_EQ(Command({"cat"}).in(Redirect::null()).read().value(), "");
  EXPECT_TRUE(echo("x").out(Redirect::null()).run());
}

TEST_F(RedirectTest, ReadComesFromTheFile) {
  const TemporaryDirectory dir;
  EXPECT_EQ(Command({"cat"}).in(Redirect::read(dir.write("f", "text"))).read().value(), "text");
}

TEST_F(RedirectTest, WriteCreatesOrEmpties) {
  const TemporaryDirectory dir;
  ASSERT_TRUE(echo("long text").out(Redirect::write(dir / "f")).run());
  EXPECT_EQ(read_text(dir / "f"), "long text");
  ASSERT_TRUE(echo("short").out(Redirect::write(dir / "f")).run());
  EXPECT_EQ(read_text(dir / "f"), "short");
}

TEST_F(RedirectTest, CreatedFilesFollowTheUmaskOfTheParent) {
  const TemporaryDirectory dir;
  const mode_t before = ::umask(027);
  ASSERT_TRUE(echo("x").out(Redirect::write(dir / "f")).run());
  ::umask(before);
  struct stat file{};
  ASSERT_EQ(::stat((dir / "f").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0640u);
}

TEST_F(RedirectTest, AppendGoesToTheEndBesideOthers) {
  const TemporaryDirectory dir;
  const std::string path = dir.write("f", "1");
  ASSERT_TRUE(echo("2").out(Redirect::append(path)).run());
  ASSERT_TRUE(Command({"sh", "-c", "echo -n 3; echo -n x >>" + path + "; echo -n 4"})
                  .out(Redirect::append(path))
                  .run());
  EXPECT_EQ(read_text(path), "123x4");
}

TEST_F(RedirectTest, CreateRefusesAnExistingFile) {
  const TemporaryDirectory dir;
  ASSERT_TRUE(echo("1").out(Redirect::create(dir / "f")).run());
  EXPECT_FALSE(echo("2").out(Redirect::create(dir / "f")).run());
  EXPECT_EQ(read_text(dir / "f"), "1");
}

TEST_F(RedirectTest, PipesAreTheParentsOtherEnds) {
  auto child = Command({"sh", "-c", "read x; echo out $x; echo err >&2; echo seven >&7"})
                   .in(Redirect::pipe())
                   .out(Redirect::pipe())
                   .err(Redirect::pipe())
                   .fd(7, Redirect::pipe())
                   .start()
                   .value();
  ASSERT_EQ(::write(child.in().get(), "word\n", 5), 5);
  EXPECT_EQ(test::read_to_end(child.out()), "out word\n");
  EXPECT_EQ(test::read_to_end(child.err()), "err\n");
  EXPECT_EQ(test::read_to_end(child.pipe(7)), "seven\n");
  EXPECT_FALSE(child.pipe(8));
  EXPECT_TRUE(child.wait()->status.success());
}

TEST_F(RedirectTest, ErrorsCanFollowTheOutput) {
  const Command both{"sh", "-c", "echo 1; echo 2 >&2; echo 3"};
  EXPECT_EQ(Command(both).err(Redirect::same_as(1)).read().value(), "1\n2\n3");
  const TemporaryDirectory dir;
  ASSERT_TRUE(Command(both).err(Redirect::same_as(1)).out(Redirect::write(dir / "f")).run());
  EXPECT_EQ(read_text(dir / "f"), "1\n2\n3\n");
  const auto captured = Command(both).err(Redirect::same_as(1)).capture().value();
  EXPECT_EQ(captured.out, "1\n2\n3\n");
  EXPECT_EQ(captured.err, "");
}

TEST_F(RedirectTest, ChainsOfSameAsAreFollowed) {
  EXPECT_EQ(Command({"sh", "-c", "echo x >&5"})
                .fd(5, Redirect::same_as(4))
                .fd(4, Redirect::same_as(1))
                .read()
                .value(),
            "x");
}

TEST_F(RedirectTest, CyclesAndClosedTargetsAreRefused) {
  const auto refused = [](const Command& command, const std::string& text) {
    const auto result = command.start();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::invalid_argument);
    EXPECT_EQ(result.error().to_string(),
              "cannot prepare 'true': the request makes no sense: " + text);
  };
  refused(Command{"true"}.out(Redirect::same_as(2)).err(Redirect::same_as(1)),
          "descriptor 1 is redirected to 2, which is not open in the child or leads back to it");
  refused(Command{"true"}.out(Redirect::same_as(1)),
          "descriptor 1 is redirected to 1, which is not open in the child or leads back to it");
  refused(Command{"true"}.out(Redirect::same_as(9)),
          "descriptor 1 is redirected to 9, which is not open in the child or leads back to it");
}

TEST_F(RedirectTest, BytesOfAnySizeArriveWhole) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{65536}, std::size_t{10_MiB}}) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 4096);
    EXPECT_TRUE(Command({"cat"}).input(text).capture()->out == text) << size;
  }
}

TEST_F(RedirectTest, BytesNobodyReadsDoNoHarm) {
  EXPECT_TRUE(Command{"true"}.input(std::string(10_MiB, 'x')).run());
}

TEST_F(RedirectTest, BytesCanBeGivenToAnyDescriptor) {
  EXPECT_EQ(Command({"sh", "-c", "cat <&4; cat <&3"})
                .fd(3, Redirect::bytes("three"))
                .fd(4, Redirect::bytes("four"))
                .read()
                .value(),
            "fourthree");
}

// ---- Pseudo-terminals ----

TEST_F(RedirectTest, PseudoTerminalIsATerminalOfTheWantedSize) {
  auto child = Command({"sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size; echo end"})
                   .in(Redirect::pseudo_terminal())
                   .out(Redirect::pseudo_terminal())
                   .err(Redirect::pseudo_terminal())
                   .terminal_size(33, 77)
                   .start()
                   .value();
  EXPECT_FALSE(child.out());  // one master, at the lowest number
  EXPECT_EQ(test::read_to_end(child.in()), "33 77\r\nend\r\n");
  EXPECT_TRUE(child.wait()->status.success());
}

TEST_F(RedirectTest, PseudoTerminalOutputCanBeCaptured) {
  EXPECT_EQ(Command({"sh", "-c", "test -t 1 && echo terminal"})
                .out(Redirect::pseudo_terminal())
                .capture()
                .value()
                .out,
            "terminal\r\n");
}

TEST_F(RedirectTest, PseudoTerminalControlsTheChildsSession) {
  auto child = Command({"sh", "-c", "echo typed >/dev/tty; read x; echo got $x"})
                   .in(Redirect::pseudo_terminal())
                   .out(Redirect::pseudo_terminal())
                   .start()
                   .value();
  EXPECT_EQ(test::read_line(child.in()), "typed\r");
  ASSERT_EQ(::write(child.in().get(), "word\n", 5), 5);
  EXPECT_EQ(test::read_line(child.in()), "word\r");  // the echo
  EXPECT_EQ(test::read_line(child.in()), "got word\r");
  EXPECT_TRUE(child.wait()->status.success());
}

TEST_F(RedirectTest, ClosingTheMasterHangsTheChildUp) {
  auto child = test::start_ready(
      Command({child_program("sleep_until_eof")}).in(Redirect::pseudo_terminal()));
  child.in().reset();
  const auto status = child.wait()->status;
  EXPECT_TRUE(status.signal() == SIGHUP || status.success());
}

// ---- A parent without stdio ----

/// What `body` says in a copy of this process without the descriptors of `closed`.
void without(const std::vector<int>& closed, const std::function<std::string()>& body,
             const std::string& expected) {
  auto told = Pipe::create().value();
  Fd teller{::fcntl(told.writer.fd().get(), F_DUPFD_CLOEXEC, 50)};
  told.writer.close();
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (const int fd : closed) ::close(fd);
    std::string text;
    try {
      text = body();
    } catch (const std::exception& e) {
      text = e.what();
    }
    [[maybe_unused]] const auto n = ::write(teller.get(), text.data(), text.size());
    ::_exit(0);
  }
  teller.reset();
  EXPECT_EQ(told.reader.read_all().value(), expected) << ::testing::PrintToString(closed);
  ::waitpid(pid, nullptr, 0);
}

const std::vector<int> kEachMissing[] = {{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}};

TEST_F(RedirectTest, MissingStdioOfTheParentIsNullInTheChild) {
  for (const auto& closed : kEachMissing) {
    without(
        closed,
        [&] {
          const TemporaryDirectory dir;
          const std::string told = dir / "told";
          const auto ran =
              Command({child_program("print_links"), 9}).fd(9, Redirect::write(told)).run();
          if (!ran) return ran.error().to_string();
          std::istringstream lines{read_text(told)};
          std::string wrong;
          int fd = 0;
          for (std::string line; std::getline(lines, line); ++fd) {
            const bool missing = std::ranges::find(closed, fd) != closed.end();
            if (missing && line != "/dev/null") wrong += std::to_string(fd) + ": " + line + "; ";
          }
          return fd == 3 ? wrong : "lines: " + std::to_string(fd);
        },
        "");
  }
}

TEST_F(RedirectTest, CaptureWorksWithoutStdioInTheParent) {
  for (const auto& closed : kEachMissing) {
    without(
        closed,
        [] {
          const auto said = Command({"sh", "-c", "cat; echo err >&2"}).input("in").capture();
          return said ? said->out + said->err : said.error().to_string();
        },
        "inerr\n");
  }
}

TEST_F(RedirectTest, PipelinesWorkWithoutStdioInTheParent) {
  for (const auto& closed : kEachMissing) {
    without(
        closed,
        [] {
          const auto said = (echo("a\nb\nc\n") | Command{"cat"} | Command{"wc", "-l"}).read();
          return said ? *said : said.error().to_string();
        },
        "3");
  }
}

TEST_F(RedirectTest, ChildrenOfAParentWithoutStdioHoldNothingElse) {
  for (const auto& closed : kEachMissing) {
    without(
        closed,
        [] {
          const auto fds = Command({child_program("print_fds")}).input("x").read();
          return fds ? *fds : fds.error().to_string();
        },
        "0 1 2");
  }
}

TEST_F(RedirectTest, SwapWithAMissingDescriptorGivesNull) {
  without(
      {1},
      [] {
        const TemporaryDirectory dir;
        const auto ran = Command({"sh", "-c", "readlink /proc/$$/fd/2 >&9"})
                             .out(Redirect::fd(2))
                             .err(Redirect::fd(1))
                             .fd(9, Redirect::write(dir / "told"))
                             .run();
        return ran ? read_text(dir / "told") : ran.error().to_string();
      },
      "/dev/null\n");
}

TEST_F(RedirectTest, BatchWorksWithoutStdioInTheParent) {
  for (const auto& closed : kEachMissing) {
    without(
        closed,
        [] {
          Batch batch{{.jobs = 2, .ordered = true}};
          for (int i = 0; i < 4; ++i)
            batch.add({"sh", "-c", "cat; echo $0; echo e >&2", std::to_string(i)});
          std::string all;
          while (auto outcome = batch.next()) all += outcome->out.read() + outcome->err.read();
          return all;
        },
        "0\ne\n1\ne\n2\ne\n3\ne\n");
  }
}

TEST_F(RedirectTest, PipeThatNobodyWouldHoldIsRefused) {
  const auto captured = Command{"cat"}.in(Redirect::pipe()).capture();
  ASSERT_FALSE(captured);
  EXPECT_EQ(captured.error().error->kind, ErrorKind::invalid_argument);
  const auto ran = Command{"echo"}.out(Redirect::pipe()).run();
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().error->kind, ErrorKind::invalid_argument);
}

}  // namespace
}  // namespace tine
