// SPDX-License-Identifier: MIT
/// Gathers records into the values of one job: -n -N -L by count, -X -m --xargs by length, and at
/// the end of the input what is left is spread over the job slots.
///
/// Threads: one batcher belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cli/line_length.h"
#include "cli/record_stream.h"

namespace tine::cli {

struct BatchRules {
  std::uint64_t max_records = 1;  ///< 0: as many as the length permits
  bool drop_values = false;       ///< -n0: one record per job, its values left empty
  bool spread = false;            ///< -X and -m: share the last records among the slots
  bool shuffle = false;
  bool never_fewer = false;  ///< -x: max_records that do not fit are an error
  std::size_t max_length = 0;
  int slots = 1;

  static BatchRules from(const Options& options, int slots, std::size_t default_length);
};

class Batcher {
 public:
  Batcher(RecordStream records, const BatchRules& rules)
      : records_(std::move(records)), rules_(rules) {}

  RecordStream& records() { return records_; }
  /// The values of the next job. `command` and `job` tell how long its line becomes.
  Result<Pull> next(Template& command, const JobValues& job, Values& out);
  /// How many values a record has.
  std::size_t record_width() const { return width_; }
  bool drops_values() const { return rules_.drop_values; }

 private:
  Result<Pull> next_record(Values& out);
  Result<Pull> shuffled(Values& out);
  Result<Pull> collect(Template& command, const JobValues& job);
  Result<bool> fits(std::size_t before);
  Result<Pull> look_ahead();
  void spread_rest();
  void take_share(Values& out);

  RecordStream records_;
  BatchRules rules_;
  Values collected_;
  std::vector<std::size_t> ends_;  ///< where each collected record ends
  Values pending_;                 ///< read, but for the next job
  bool has_pending_ = false;
  bool collecting_ = false;
  bool complete_ = false;
  bool ended_ = false;
  std::optional<LineLength> length_;
  std::size_t width_ = 1;
  Table rest_;  ///< the last records, being shared out
  std::size_t rest_at_ = 0;
  std::size_t share_ = 0;
  Table deck_;  ///< --shuf: every record
  std::vector<std::size_t> order_;
  bool shuffled_ = false;
};

}  // namespace tine::cli
