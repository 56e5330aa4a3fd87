// SPDX-License-Identifier: MIT

/// Ten thousand files, some of them broken, and two parsers that they are given to: one of our own
/// that should not be trusted with them (fragile_parser.h), and libxml2's. What comes out is every
/// result that there is, and for the rest what happened and where.
///
///     crash_proof_scan [COUNT]      # of files, which are generated; 10000

#include <tine/tine.h>

#ifdef WITH_LIBXML2
#include <libxml/parser.h>
#include <libxml/tree.h>
#endif

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <ranges>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "fragile_parser.h"

using namespace std::chrono_literals;
using namespace tine::literals;
namespace fs = std::filesystem;

namespace {

// ---- The files: each depends on its number alone ----

std::string payments(std::size_t file) {
  std::string text = "account rent account food ";
  for (std::size_t i = 0; i < 50; ++i) {
    text += "pay " + std::string(i % 3 == 0 ? "rent " : "food ") + std::to_string(file % 100 + i) +
            "\n";
  }
  return text;
}
/// What payments() come to.
long sum_of(std::size_t file) { return 50 * static_cast<long>(file % 100) + 49 * 50 / 2; }

std::string ledger(std::size_t file) {
  const std::string right = payments(file) + "total " + std::to_string(sum_of(file)) + "\n";
  switch (file % 500) {
    case 12: return right + "pay rant 5\n";  // a name that nobody has
    case 100:
    case 300: {
      std::string deep;
      for (int i = 0; i < 1'000'000; ++i) deep += "( ";
      return right + deep;
    }
    case 134: return right + "{ a comment without an end\n";
    case 212: return right + "rows 4000000000 1 2 3\n";
    case 256:
    case 258: return right + "pay food a-lot\n";
    case 334: return right + "total 7\n";
    case 404: return right + "#!/bin/sh\n";
    default: return right;
  }
}

std::string xml(std::size_t file) {
  std::string text = "<payments>";
  for (std::size_t i = 0; i < file % 100 + 1; ++i) text += "<pay>" + std::to_string(i) + "</pay>";
  text += "</payments>";
  if (file % 8 == 3) text.resize(text.size() / 2);               // cut off
  if (file % 50 == 1) text.replace(text.size() - 2, 1, "\xff");  // damaged
  return text;
}

bool is_xml(std::size_t file) { return file % 2 == 1; }

fs::path path_of(const fs::path& directory, std::size_t file) {
  return directory / ((is_xml(file) ? "payments-" : "ledger-") + std::to_string(file));
}

// ---- What is done with one ----

enum class Outcome : unsigned char { read, refused, skipped };

struct Scan {
  Outcome outcome = Outcome::read;
  long found = 0;
};

Scan scan_xml([[maybe_unused]] const std::string& text) {
#ifdef WITH_LIBXML2
  constexpr int kQuiet = XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET;
  xmlDoc* const document =
      xmlReadMemory(text.data(), static_cast<int>(text.size()), nullptr, nullptr, kQuiet);
  if (document == nullptr) return {Outcome::refused};
  Scan scan;
  for (auto* node = xmlDocGetRootElement(document)->children; node != nullptr; node = node->next) {
    ++scan.found;
  }
  xmlFreeDoc(document);
  return scan;
#else
  return {Outcome::skipped};
#endif
}

Scan scan(const fs::path& directory, std::size_t file) {
  std::ifstream stream(path_of(directory, file), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  return is_xml(file) ? scan_xml(text) : Scan{Outcome::read, fragile::read_ledger(text)};
}

bool is_right(std::size_t file, const Scan& scan) {
  if (scan.outcome != Outcome::read) return is_xml(file);
  return scan.found == (is_xml(file) ? static_cast<long>(file % 100 + 1) : sum_of(file));
}

// ---- What is told of it ----

/// The innermost place within the parser, but for the functions that all of it goes through:
/// `function (file:line)`.
std::string place(const tine::Failure& failure) {
  for (const auto line : failure.backtrace | std::views::split('\n')) {
    const std::string frame(line.begin(), line.end());
    const auto name = frame.find("Ledger::");
    if (name == frame.npos || frame.find("::next_word") != frame.npos ||
        frame.find("::statement") != frame.npos) {
      continue;
    }
    const auto file = frame.rfind('/');
    return frame.substr(name, frame.find('(', name) - name) +
           (file == frame.npos ? "" : " (" + frame.substr(file + 1) + ")");
  }
  return "-";
}

/// Why, in short; where, as far as that is known.
std::pair<std::string, std::string> story(const tine::Failure& failure) {
  std::string why{to_string(failure.cause)};
  if (failure.cause == tine::Cause::signaled) why = tine::signal_name(*failure.status->signal());
  if (failure.cause == tine::Cause::exited) why = failure.status->to_string();
  if (failure.cause == tine::Cause::threw) why += " " + failure.type;
  if (!failure.backtrace.empty()) return {why, place(failure)};
  if (failure.cause == tine::Cause::out_of_memory) return {why, "-"};
  const std::string& said =
      failure.cause == tine::Cause::threw ? failure.message : failure.stderr_tail;
  return {why, said.substr(0, said.find('\n'))};
}

void report(const tine::MapResults<Scan>& results) {
  std::map<Outcome, std::size_t> xml_files;
  std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> failed;
  std::size_t right = 0;
  for (std::size_t file = 0; file < results.size(); ++file) {
    if (!results[file]) {
      failed[story(results[file].error())].push_back(file);
    } else {
      right += is_right(file, *results[file]) ? 1 : 0;
      if (is_xml(file)) ++xml_files[results[file]->outcome];
    }
  }
  const std::size_t lost = results.failures().items();
  std::printf("%zu files, %zu results, %zu of them right, %zu failures\n", results.size(),
              results.size() - lost, right, lost);
  if (xml_files[Outcome::skipped] > 0) {
    std::printf("xml: skipped, this program was built without libxml2\n\n");
  } else {
    std::printf("xml: %zu read, %zu refused by libxml2\n\n", xml_files[Outcome::read],
                xml_files[Outcome::refused]);
  }
  std::printf("%5s  %-28s %-44s %s\n", "files", "what happened", "where, or what was said",
              "first");
  for (const auto& [what, files] : failed) {
    std::printf("%5zu  %-28s %-44s ledger-%zu\n", files.size(), what.first.c_str(),
                what.second.c_str(), files.front());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::size_t count = 10'000;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), count);

  std::string made = (fs::temp_directory_path() / "crash_proof_scan-XXXXXX").string();
  if (::mkdtemp(made.data()) == nullptr) return 1;
  const fs::path directory = made;
  const auto files = std::views::iota(std::size_t{0}, count);
  for (const std::size_t file : files) {
    std::ofstream(path_of(directory, file), std::ios::binary)
        << (is_xml(file) ? xml(file) : ledger(file));
  }

  const auto results = tine::map(
      files, [&](std::size_t file) { return scan(directory, file); },
      {.timeout = 500ms,
       .memory = 256_MiB,
       .retries = 1,
       // The machine may have been busy: all else comes again.
       .retry_if =
           [](const tine::Failure& failure) { return failure.cause == tine::Cause::timed_out; },
       .name = "scan"});
  report(results);
  std::printf("\n%zu workers, of which %zu died; %zu second attempts; %.1f s in all\n",
              results.insights().workers.size(), results.insights().deaths,
              results.insights().retries,
              std::chrono::duration<double>(results.insights().wall).count());
  fs::remove_all(directory);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
