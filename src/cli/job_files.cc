// SPDX-License-Identifier: MIT
#include "cli/job_files.h"

#include <fcntl.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string_view>

#include "tine/fd.h"

namespace tine::cli {

namespace fs = std::filesystem;

std::expected<std::string, std::string> redirect_to_new_file(Command& command,
                                                             const std::string& directory) {
  constexpr std::string_view kSuffix = ".par";
  std::string path = directory + "/parXXXXXX" + std::string(kSuffix);
  const Fd made{::mkostemps(path.data(), static_cast<int>(kSuffix.size()), O_CLOEXEC)};
  if (!made) return std::unexpected("cannot make a file in '" + directory + "'");
  command.out(Redirect::write(path));
  return path;
}

std::expected<std::string, std::string> redirect_to_results(Command& command, const JobLine& line) {
  const std::string& base = line.results;
  const bool is_directory = base.ends_with('/');
  const fs::path parent = is_directory ? fs::path(base) : fs::path(base).parent_path();
  std::error_code error;
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) {
    return std::unexpected("--results: cannot make '" + parent.native() + "': " + error.message());
  }
  std::string out_path = is_directory ? base + "stdout" : base;
  command.out(Redirect::write(out_path));
  command.err(Redirect::write(is_directory ? base + "stderr" : base + ".err"));
  std::ofstream seq(is_directory ? base + "seq" : base + ".seq");
  seq << line.seq;
  if (seq.flush()) return out_path;
  return std::unexpected("--results: cannot write below '" + parent.native() + "'");
}

}  // namespace tine::cli
