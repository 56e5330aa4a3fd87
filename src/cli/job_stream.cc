// SPDX-License-Identifier: MIT
#include "cli/job_stream.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cli/results_path.h"

namespace tine::cli {
namespace {

// The longest single argument of a program, and `sh -c LINE` is one.
// Source: MAX_ARG_STRLEN in linux/binfmts.h.
constexpr std::size_t kLongestArgument = 131072 - 1;

}  // namespace

struct JobStream::State {
  State(const CommandLine& command_line, const JobSettings& settings, RecordStream records)
      : options(command_line.options),
        words(command_line.words),
        slots(settings.slots),
        facts(ShellFacts::from_environment(
            settings.shell, settings.environment != nullptr ? settings.environment : environ)),
        batcher(std::move(records), BatchRules::from(options, settings.slots, max_line_length())) {}

  Result<Pull> prepare();
  Result<void> build_templates();
  Result<void> build_command();
  Result<Template> build_text(const std::string& text);
  TemplateRules rules(Quoting quoting) const;
  Result<Pull> next_values(Values& values);
  Result<Pull> gather();
  JobValues job_values(int slot, const Values& values) const;
  Result<void> render(const JobValues& job, JobLine& out);
  Result<void> check_length(const JobLine& out) const;
  void render_tag(const JobValues& job, JobLine& out);
  void render_results(const JobValues& job, JobLine& out);

  Options options;
  std::vector<std::string> words;
  int slots;
  ShellFacts facts;
  Batcher batcher;
  Template command;
  std::optional<Template> tag;
  std::optional<Template> results;
  std::vector<std::string> columns;
  bool prepared = false;
  bool gathered = false;
  bool ended = false;
  std::deque<Values> waiting;  ///< jobs read ahead by gather()
  Values values;
  std::uint64_t started = 0;
};

JobStream::JobStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
JobStream::JobStream(JobStream&&) noexcept = default;
JobStream& JobStream::operator=(JobStream&&) noexcept = default;
JobStream::~JobStream() = default;

std::expected<JobStream, std::string> JobStream::open(const CommandLine& command_line,
                                                      const JobSettings& settings) {
  auto records = RecordStream::open(command_line);
  if (!records) return std::unexpected(records.error());
  auto state = std::make_unique<State>(command_line, settings, *std::move(records));
  if (command_line.options.header != Header::first_record) {
    // Without headers to read everything about the template is known now.
    auto prepared = state->prepare();
    if (!prepared) return std::unexpected(prepared.error());
  }
  return JobStream(std::move(state));
}

TemplateRules JobStream::State::rules(Quoting quoting) const {
  TemplateRules rules;
  rules.placeholders = options.placeholders;
  rules.plus = options.plus;
  rules.repeat_context = options.repeat_context;
  rules.quoting = quoting;
  rules.append_value = quoting != Quoting::none;
  rules.columns = columns;
  return rules;
}

Result<Pull> JobStream::State::prepare() {
  if (prepared) return Pull::job;
  auto read = batcher.records().prepare();
  if (!read || *read == Pull::would_block) return read;
  columns = batcher.records().columns();
  if (auto built = build_templates(); !built) return std::unexpected(built.error());
  prepared = true;
  return Pull::job;
}

Result<void> JobStream::State::build_templates() {
  if (auto built = build_command(); !built) return built;
  if (options.tag_string) {
    auto text = build_text(*options.tag_string);
    if (!text) return std::unexpected("--tagstring: " + text.error());
    tag = *std::move(text);
  }
  if (!options.results.empty() && !is_results_table(options.results)) {
    auto text = build_text(options.results);
    if (!text) return std::unexpected("--results: " + text.error());
    if (text->has_replacement()) results = *std::move(text);
  }
  return {};
}

Result<void> JobStream::State::build_command() {
  auto parsed = Template::parse(words, rules(options.quote ? Quoting::words : Quoting::values));
  if (!parsed) return std::unexpected(parsed.error());
  command = *std::move(parsed);
  if (options.shell == ShellUse::always || options.shell_quote > 0) return {};
  command.find_direct_form(facts);
  if (options.shell == ShellUse::never && !command.needs_shell().empty()) {
    return std::unexpected(
        "--no-shell: the command needs a shell: " + std::string(command.needs_shell()) +
        "; quote it or leave out --no-shell");
  }
  return {};
}

Result<Template> JobStream::State::build_text(const std::string& text) {
  return Template::parse({text}, rules(Quoting::none));
}

Result<Pull> JobStream::State::next_values(Values& out) {
  if (!waiting.empty()) {
    std::swap(out, waiting.front());
    waiting.pop_front();
    return Pull::job;
  }
  if (ended) return Pull::end;
  JobValues job = job_values(1, out);
  job.sequence = started + 1;
  job.args = {};
  auto pulled = batcher.next(command, job, out);
  ended = pulled && *pulled == Pull::end;
  return pulled;
}

Result<Pull> JobStream::State::gather() {
  auto ready = prepare();
  if (!ready || *ready == Pull::would_block) return ready;
  JobValues job;
  Values next;
  while (!ended) {
    job.sequence = started + waiting.size() + 1;
    auto pulled = batcher.next(command, job, next);
    if (!pulled || *pulled == Pull::would_block) return pulled;
    ended = *pulled == Pull::end;
    if (!ended) waiting.push_back(std::exchange(next, Values()));
  }
  gathered = true;
  return Pull::end;
}

JobValues JobStream::State::job_values(int slot, const Values& from) const {
  JobValues job;
  job.args = from.all();
  job.sequence = started;
  job.slot = slot;
  job.total = options.total_jobs.value_or(ended ? started + waiting.size() : 0);
  job.slots = slots;
  job.blank = batcher.drops_values();
  return job;
}

Result<void> JobStream::State::render(const JobValues& job, JobLine& out) {
  out.seq = job.sequence;
  out.line.clear();
  command.render(job, out.line);
  bool direct = command.render_argv(job, out.line, out.argv);
  if (!direct && options.shell == ShellUse::never) {
    return std::unexpected("--no-shell: this command needs a shell: " + out.line);
  }
  // assign() keeps the strings that are there already.
  auto shown = job.blank ? job.args.first(0) : job.args;
  out.args.assign(shown.begin(), shown.end());
  render_tag(job, out);
  render_results(job, out);
  return check_length(out);
}

Result<void> JobStream::State::check_length(const JobLine& out) const {
  std::size_t limit = options.max_chars.value_or(out.argv.empty() ? kLongestArgument : 0);
  if (limit == 0 || out.line.size() < limit) return {};
  std::string shown = out.args.empty() ? std::string() : out.args[0].substr(0, 200);
  return std::unexpected("command line too long (" + std::to_string(out.line.size()) +
                         " >= " + std::to_string(limit) + ") with the value '" + shown +
                         "'; give -s a higher limit or shorten the value");
}

void JobStream::State::render_tag(const JobValues& job, JobLine& out) {
  out.tag.clear();
  if (tag) return tag->render(job, out.tag);
  if (!options.tag) return;
  for (std::size_t i = 0; i < out.args.size(); ++i) {
    if (i > 0) out.tag += ' ';
    out.tag += out.args[i];
  }
}

void JobStream::State::render_results(const JobValues& job, JobLine& out) {
  out.results.clear();
  if (options.results.empty() || is_results_table(options.results)) return;
  if (results) return results->render(job, out.results);
  out.results = results_directory(options.results, out.args, columns, batcher.record_width());
}

std::expected<Pull, std::string> JobStream::next(int slot, JobLine& out) {
  State& state = *state_;
  auto ready = state.prepare();
  if (!ready || *ready == Pull::would_block) return ready;
  if (state.command.needs_total() && !state.gathered && !state.options.total_jobs) {
    auto read = state.gather();
    if (!read || *read == Pull::would_block) return read;
  }
  auto pulled = state.next_values(state.values);
  if (!pulled || *pulled != Pull::job) return pulled;
  ++state.started;
  auto rendered = state.render(state.job_values(slot, state.values), out);
  if (!rendered) return std::unexpected(rendered.error());
  return Pull::job;
}

int JobStream::wait_fd() const { return state_->batcher.records().wait_fd(); }

std::expected<Pull, std::string> JobStream::gather() { return state_->gather(); }

std::optional<std::uint64_t> JobStream::total() const {
  if (!state_->ended) return std::nullopt;
  return state_->started + state_->waiting.size();
}

bool JobStream::had_nul() const { return state_->batcher.records().had_nul(); }

std::size_t max_line_length() {
  long limit = ::sysconf(_SC_ARG_MAX);
  if (limit <= 0) return kLongestArgument;
  // Half of what a program may get, for its environment is counted too.
  return std::min(kLongestArgument, static_cast<std::size_t>(limit) / 2);
}

std::string quoted_times(std::string_view line, int times) {
  std::string text(line);
  for (int i = 0; i < times; ++i) text = shell_quoted(text);
  return text;
}

}  // namespace tine::cli
