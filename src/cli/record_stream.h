// SPDX-License-Identifier: MIT
/// Combines the input sources into records: every combination of them, or row by row when they are
/// linked. The first group of sources is streamed; only what has to be gone through again is kept.
///
/// Threads: one stream belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/source.h"

namespace tine::cli {

/// Records kept in memory, one after the other.
class Table {
 public:
  void add(const Values& record);
  std::span<const std::string> row(std::size_t at) const;
  std::size_t size() const { return ends_.size(); }

 private:
  std::vector<std::string> values_;
  std::vector<std::size_t> ends_;
};

class RecordStream {
 public:
  static Result<RecordStream> open(const CommandLine& command_line);

  /// Reads the headers, where there are any; to be called until it no longer answers would_block.
  Result<Pull> prepare();
  /// The names of the columns, after prepare().
  const std::vector<std::string>& columns() const { return columns_; }

  /// Appends the values of the next record to `out`.
  Result<Pull> next(Values& out);
  /// What to poll after would_block.
  int wait_fd() const { return wait_fd_; }
  bool had_nul() const;

 private:
  /// Sources that advance together. With --link there is one group and short sources start again.
  struct Group {
    std::vector<Source> sources;
    Values partial{};        ///< what the row has so far
    bool real = false;       ///< some of it was read, not put in for an empty source
    bool stands_in = false;  ///< an empty source gave an empty value to this row
    bool stood_in = false;   ///< and to an earlier one: the group has ended
    std::size_t next_source = 0;
    Table kept{};
    std::size_t at = 0;
  };
  /// --link: what each source has given, and whether it has ended.
  struct Linked {
    Table kept{};
    bool ended = false;
    bool fresh = false;  ///< has given a new value for the current row
  };

  std::vector<Source*> all_sources();
  Result<Pull> pull(Source& source, Values& out);
  Result<Pull> next_row(Group& group);
  Result<Pull> next_linked(Values& out);
  Result<Pull> next_combination(Values& out);
  Result<Pull> load_first();
  Result<Pull> load_rest();
  bool advance_kept();

  std::vector<Group> groups_;
  std::vector<Linked> linked_;
  bool link_ = false;
  Header header_ = Header::none;
  std::optional<ColumnSplitter> header_splitter_;
  std::size_t header_source_ = 0;
  std::vector<std::string> columns_;
  std::size_t loaded_groups_ = 1;
  bool first_loaded_ = false;
  bool has_values_ = false;  ///< some source was not empty
  bool need_first_ = false;
  bool ended_ = false;
  std::uint64_t row_ = 0;
  int wait_fd_ = -1;
};

}  // namespace tine::cli
