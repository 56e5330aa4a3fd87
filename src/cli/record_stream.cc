// SPDX-License-Identifier: MIT
#include "cli/record_stream.h"

#include <algorithm>

namespace tine::cli {
namespace {

using Readers = std::vector<std::pair<std::string, std::shared_ptr<RecordReader>>>;

Result<std::shared_ptr<RecordReader>> open_reader(const InputSource& source,
                                                  const std::string& delimiter,
                                                  Readers& standard_input) {
  if (source.kind == InputSource::Kind::arguments) {
    return std::make_shared<RecordReader>(
        RecordReader::from_arguments(source.arguments, delimiter));
  }
  // Standard input named twice is still one stream: each record goes to one of the two.
  if (source.path == "-" && !standard_input.empty()) return standard_input.front().second;
  auto reader = RecordReader::open(source.path, delimiter);
  if (!reader) return std::unexpected(reader.error());
  auto shared = std::make_shared<RecordReader>(*std::move(reader));
  if (source.path == "-") standard_input.emplace_back(source.path, shared);
  return shared;
}

}  // namespace

void Table::add(const Values& record) {
  for (const auto& value : record.all()) values_.push_back(value);
  ends_.push_back(values_.size());
}

std::span<const std::string> Table::row(std::size_t at) const {
  std::size_t begin = at == 0 ? 0 : ends_[at - 1];
  return std::span(values_).subspan(begin, ends_[at] - begin);
}

Result<RecordStream> RecordStream::open(const CommandLine& command_line) {
  auto rules = SourceRules::from(command_line.options);
  if (!rules) return std::unexpected(rules.error());
  auto shared_rules = std::make_shared<const SourceRules>(*std::move(rules));
  RecordStream stream;
  stream.link_ = command_line.options.link;
  stream.header_ = command_line.options.header;
  Readers standard_input;
  for (const auto& source : command_line.sources) {
    auto reader = open_reader(source, command_line.options.delimiter, standard_input);
    if (!reader) return std::unexpected(reader.error());
    bool joins = !stream.groups_.empty() && (stream.link_ || source.linked);
    if (!joins) stream.groups_.emplace_back();
    stream.groups_.back().sources.emplace_back(*std::move(reader), shared_rules);
    if (stream.header_ == Header::file_names) {
      stream.columns_.push_back(source.kind == InputSource::Kind::file ? source.path : "");
    }
  }
  if (stream.link_)
    stream.linked_.resize(stream.groups_.empty() ? 0 : stream.groups_[0].sources.size());
  auto splitter = ColumnSplitter::parse(command_line.options.column_separator.value_or("\\t"));
  if (!splitter) return std::unexpected(splitter.error());
  stream.header_splitter_ = *std::move(splitter);
  return stream;
}

std::vector<Source*> RecordStream::all_sources() {
  std::vector<Source*> sources;
  for (auto& group : groups_) {
    for (auto& source : group.sources) sources.push_back(&source);
  }
  return sources;
}

bool RecordStream::had_nul() const {
  return std::ranges::any_of(groups_, [](const Group& group) {
    return std::ranges::any_of(group.sources, &Source::had_nul);
  });
}

Result<Pull> RecordStream::prepare() {
  if (header_ != Header::first_record) return Pull::job;
  auto sources = all_sources();
  for (; header_source_ < sources.size(); ++header_source_) {
    Source& source = *sources[header_source_];
    wait_fd_ = source.fd();
    auto pulled = source.next_header(*header_splitter_, columns_);
    if (!pulled || *pulled == Pull::would_block) return pulled;
    // An empty source still is a column.
    if (*pulled == Pull::end) columns_.emplace_back();
  }
  return Pull::job;
}

Result<Pull> RecordStream::next(Values& out) {
  if (ended_ || groups_.empty()) return Pull::end;
  auto pulled = link_ ? next_linked(out) : next_combination(out);
  ended_ = pulled && *pulled == Pull::end;
  return pulled;
}

Result<Pull> RecordStream::pull(Source& source, Values& out) {
  wait_fd_ = source.fd();
  return source.next(out);
}

// One value from each source of the group into group.partial; the shortest source ends the group.
// Beside others an empty source counts as one empty value.
Result<Pull> RecordStream::next_row(Group& group) {
  if (group.next_source == 0) {
    group.partial.clear();
    group.real = group.stands_in = false;
  }
  for (; group.next_source < group.sources.size(); ++group.next_source) {
    Source& source = group.sources[group.next_source];
    auto pulled = pull(source, group.partial);
    if (!pulled || *pulled == Pull::would_block) return pulled;
    if (*pulled == Pull::job) {
      group.real = true;
      continue;
    }
    if (group.stood_in || !source.empty()) return Pull::end;
    group.partial.push("");
    group.stands_in = true;
  }
  group.stood_in |= group.stands_in;
  group.next_source = 0;
  return Pull::job;
}

Result<Pull> RecordStream::next_linked(Values& out) {
  Group& group = groups_[0];
  for (std::size_t i = 0; i < linked_.size(); ++i) {
    Linked& state = linked_[i];
    if (state.ended || state.fresh) continue;
    group.partial.clear();
    auto pulled = pull(group.sources[i], group.partial);
    if (!pulled || *pulled == Pull::would_block) return pulled;
    state.ended = *pulled == Pull::end;
    state.fresh = !state.ended;
    if (state.fresh) state.kept.add(group.partial);
  }
  if (std::ranges::none_of(linked_, &Linked::fresh)) return Pull::end;
  for (Linked& state : linked_) {
    state.fresh = false;
    if (state.kept.size() == 0) {
      out.push("");
      continue;
    }
    for (const auto& value : state.kept.row(row_ % state.kept.size())) out.push(value);
  }
  ++row_;
  return Pull::job;
}

// Every combination, the last group changing fastest. The first row of the first group is read
// before the other groups, as a source named twice requires.
Result<Pull> RecordStream::next_combination(Values& out) {
  Group& first = groups_[0];
  if (groups_.size() == 1 && first.sources.size() == 1) return pull(first.sources[0], out);
  if (!first_loaded_ || need_first_) {
    auto loaded = load_first();
    if (!loaded || *loaded != Pull::job) return loaded;
  }
  auto loaded = load_rest();
  if (!loaded || *loaded != Pull::job) return loaded;
  out.append(first.partial);
  for (std::size_t i = 1; i < groups_.size(); ++i) {
    for (const auto& value : groups_[i].kept.row(groups_[i].at)) out.push(value);
  }
  need_first_ = !advance_kept();
  return Pull::job;
}

Result<Pull> RecordStream::load_first() {
  auto pulled = next_row(groups_[0]);
  if (!pulled || *pulled != Pull::job) return pulled;
  has_values_ |= groups_[0].real;
  first_loaded_ = true;
  need_first_ = false;
  return Pull::job;
}

Result<Pull> RecordStream::load_rest() {
  for (; loaded_groups_ < groups_.size(); ++loaded_groups_) {
    Group& group = groups_[loaded_groups_];
    while (true) {
      auto pulled = next_row(group);
      if (!pulled || *pulled == Pull::would_block) return pulled;
      if (*pulled == Pull::end) break;
      has_values_ |= group.real;
      group.kept.add(group.partial);
    }
  }
  return has_values_ ? Pull::job : Pull::end;
}

// Moves to the next combination of the kept groups; false when they start again.
bool RecordStream::advance_kept() {
  ++row_;
  for (std::size_t i = groups_.size(); i-- > 1;) {
    if (++groups_[i].at < groups_[i].kept.size()) return true;
    groups_[i].at = 0;
  }
  return false;
}

}  // namespace tine::cli
