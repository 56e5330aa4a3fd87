// SPDX-License-Identifier: MIT

/// Programs without fork(): run and wait, start and go on, read what they say, write what they
/// read.
///
/// Python:  os.spawnv(os.P_WAIT, ...), os.spawnv(os.P_NOWAIT, ...), os.popen(cmd),
///          os.popen(cmd, "w"), os.system(cmd)

#include <tine/tine.h>

#include <exception>
#include <iostream>
#include <string>

using tine::throwing::value;

int main() try {
  std::cout << std::unitbuf;  // what programs write goes straight to stdout, so must ours

  // os.spawnv(P_WAIT): run it, wait for it.
  const tine::Finished done = value(tine::run({"echo", "run: I write to your stdout"}));
  std::cout << "run: it " << done.status.to_string() << '\n';

  // os.spawnv(P_NOWAIT): start it, do something else, ask later.
  tine::Child child = value(tine::Command{"sh", "-c", "exit 3"}.start());
  std::cout << "start: pid " << child.pid() << " runs beside us\n";
  std::cout << "start: it " << value(child.wait()).status.to_string() << '\n';

  // os.popen(cmd).read(): its stdout as a string.
  std::cout << "read: " << value(tine::read({"printf", "%s\n", "one word; no shell saw $HOME"}))
            << '\n';

  // for line in os.popen(cmd): line by line, while it runs.
  const auto lines =
      tine::Command{"printf", "%s\\n", "first", "second"}.each_line([](tine::Piece line) {
        std::cout << "each_line: " << line.text << '\n';
        return true;
      });
  if (!lines) throw tine::FailureException(lines.error());

  // os.popen(cmd, "w").write(...): we write, it reads.
  tine::Child sort = value(tine::Command{"sort"}.in(tine::Redirect::pipe()).start());
  tine::WriteEnd to_sort{std::move(sort.in())};
  for (const char* fruit : {"start: pear\n", "start: apple\n"}) {
    if (auto sent = to_sort.write_all(fruit); !sent) throw tine::ErrorException(sent.error());
  }
  to_sort.close();  // sort waits for the end of its input
  (void)value(sort.wait());

  // os.system(cmd): a shell, by its name alone. Values are arguments, never part of the script.
  const std::string value_with_quotes = "it's $HOME";
  std::cout << "shell: "
            << value(tine::Command::shell("echo \"$1\" | tr a-z A-Z", {value_with_quotes}).read())
            << '\n';
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
