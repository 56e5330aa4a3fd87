// SPDX-License-Identifier: MIT
#include "cli/batcher.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace tine::cli {

BatchRules BatchRules::from(const Options& options, int slots, std::size_t default_length) {
  BatchRules rules;
  bool fills = options.fill_repeating || options.fill || options.xargs;
  auto count = options.max_replace_args ? options.max_replace_args
               : options.max_args       ? options.max_args
                                        : options.max_lines;
  rules.drop_values = count == 0;
  rules.max_records = rules.drop_values ? 1 : count.value_or(fills ? 0 : 1);
  rules.spread = (options.fill_repeating || options.fill) && !rules.drop_values;
  rules.shuffle = options.shuffle;
  rules.never_fewer = options.exit_if_too_long && rules.max_records > 0;
  rules.max_length = std::min(options.max_chars.value_or(default_length), default_length);
  rules.slots = std::max(slots, 1);
  return rules;
}

Result<Pull> Batcher::next_record(Values& out) {
  if (has_pending_) {
    out.append(pending_);
    has_pending_ = false;
    return Pull::job;
  }
  return rules_.shuffle ? shuffled(out) : records_.next(out);
}

// Reads every record before it gives the first.
Result<Pull> Batcher::shuffled(Values& out) {
  while (!shuffled_) {
    pending_.clear();
    auto pulled = records_.next(pending_);
    if (!pulled || *pulled == Pull::would_block) return pulled;
    if (*pulled == Pull::job) {
      deck_.add(pending_);
      continue;
    }
    shuffled_ = true;
    order_.resize(deck_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::shuffle(order_, std::mt19937_64(std::random_device{}()));
  }
  if (order_.empty()) return Pull::end;
  for (const auto& value : deck_.row(order_.back())) out.push(value);
  order_.pop_back();
  return Pull::job;
}

Result<Pull> Batcher::next(Template& command, const JobValues& job, Values& out) {
  out.clear();
  if (rest_at_ < rest_.size()) {
    take_share(out);
    return Pull::job;
  }
  if (rules_.max_records == 1 && !rules_.spread) {
    auto pulled = ended_ ? Result<Pull>(Pull::end) : next_record(out);
    ended_ = pulled && *pulled == Pull::end;
    width_ = std::max<std::size_t>(out.size(), 1);
    if (rules_.drop_values) out.blank();
    return pulled;
  }
  if (!complete_) {
    auto collected = collect(command, job);
    if (!collected || *collected != Pull::job) return collected;
  }
  if (rules_.spread && !has_pending_ && !ended_) {
    auto looked = look_ahead();
    if (!looked || *looked == Pull::would_block) return looked;
  }
  complete_ = collecting_ = false;
  if (rules_.spread && ended_) {
    spread_rest();
    take_share(out);
  } else {
    std::swap(out, collected_);
  }
  return Pull::job;
}

// Fills collected_ up to the limits. It may be left at would_block and entered again.
Result<Pull> Batcher::collect(Template& command, const JobValues& job) {
  if (!collecting_) {
    collected_.clear();
    ends_.clear();
    length_.emplace(command, job);
    collecting_ = true;
  }
  while (rules_.max_records == 0 || ends_.size() < rules_.max_records) {
    std::size_t before = collected_.size();
    auto pulled = ended_ ? Result<Pull>(Pull::end) : next_record(collected_);
    if (!pulled || *pulled == Pull::would_block) return pulled;
    ended_ = *pulled == Pull::end;
    if (ended_) break;
    auto fitting = fits(before);
    if (!fitting) return std::unexpected(fitting.error());
    if (!*fitting) break;
    width_ = std::max<std::size_t>(collected_.size() - before, 1);
    ends_.push_back(collected_.size());
  }
  complete_ = !ends_.empty();
  return complete_ ? Pull::job : Pull::end;
}

// Puts the record from `before` on aside when the line would become too long with it.
Result<bool> Batcher::fits(std::size_t before) {
  std::size_t length = length_->with(collected_.all(), before);
  if (length < rules_.max_length) {
    length_->accept();
    return true;
  }
  auto record = collected_.all().subspan(before);
  if (ends_.empty() || rules_.never_fewer) {
    std::string shown = record.empty() ? std::string() : record[0].substr(0, 200);
    return std::unexpected("command line too long (" + std::to_string(length) +
                           " >= " + std::to_string(rules_.max_length) + ") with the value '" +
                           shown + "'; give -s a higher limit or shorten the value");
  }
  pending_.clear();
  for (const auto& value : record) pending_.push(value);
  has_pending_ = true;
  collected_.shrink_to(before);
  return false;
}

Result<Pull> Batcher::look_ahead() {
  pending_.clear();
  auto pulled = next_record(pending_);
  if (!pulled || *pulled == Pull::would_block) return pulled;
  has_pending_ = *pulled == Pull::job;
  ended_ = *pulled == Pull::end;
  return Pull::job;
}

void Batcher::spread_rest() {
  rest_ = Table();
  rest_at_ = 0;
  std::size_t from = 0;
  for (std::size_t end : ends_) {
    pending_.clear();
    for (const auto& value : collected_.all().subspan(from, end - from)) pending_.push(value);
    rest_.add(pending_);
    from = end;
  }
  auto slots = static_cast<std::size_t>(rules_.slots);
  share_ = (rest_.size() + slots - 1) / slots;
  ends_.clear();
}

void Batcher::take_share(Values& out) {
  for (std::size_t i = 0; i < share_ && rest_at_ < rest_.size(); ++i) {
    for (const auto& value : rest_.row(rest_at_++)) out.push(value);
  }
}

}  // namespace tine::cli
