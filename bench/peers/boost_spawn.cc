// SPDX-License-Identifier: MIT
/// Peer for "start and wait for a program": Boost.Process v2, whose default launcher forks.
///
///   boost_spawn [--memory MIB] [--count N] [--rounds R] PROGRAM
#include <boost/asio/io_context.hpp>
#include <boost/process/v2/process.hpp>

#include "rounds.h"

namespace {

void start_and_wait(const std::string& program) {
  boost::asio::io_context context;
  boost::process::v2::process process(context, program, std::vector<std::string>{});
  if (process.wait() != 0) bench::fail(program + " failed");
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  if (options.command.front() == nullptr) bench::fail("usage: boost_spawn [OPTIONS] PROGRAM");
  const std::string program = options.command.front();
  bench::measure({{"boost", [&] { start_and_wait(program); }}}, options);
}
