// SPDX-License-Identifier: MIT
#include "cli/option_table.h"

#include "cli/option_values.h"

namespace tine::cli {
namespace {

using Applied = std::expected<void, std::string>;

// Puts a parsed value into its member, or passes the error on.
template <class T, class U>
Applied store(Value<T>&& value, U& member) {
  if (!value) return std::unexpected(std::move(value).error());
  member = *std::move(value);
  return {};
}

/// `\t` stands for a tab; an empty text is no tag.
std::optional<std::string> tag_text(std::string_view given) {
  if (given.empty()) return std::nullopt;
  std::string text(given);
  for (std::size_t at = 0; (at = text.find("\\t", at)) != std::string::npos; ++at) {
    text.replace(at, 2, "\t");
  }
  return text;
}

// Applies an option that takes no value or any text.
#define TINE_SET(...)                                              \
  [](Options& o, [[maybe_unused]] std::string_view v) -> Applied { \
    __VA_ARGS__;                                                   \
    return {};                                                     \
  }
#define TINE_PARSE(...) [](Options& o, std::string_view v) -> Applied { return __VA_ARGS__; }

Applied ignore(Options&, std::string_view) { return {}; }

constexpr OptionEntry kInput[] = {
    {"a arg-file argfile", Argument::required, "FILE",
     "Read values from FILE (- is standard input); again for another source.",
     TINE_SET(o.arg_files.emplace_back(v))},
    {"0 null", Argument::none, "", "Values end with NUL, as find -print0 writes them.",
     TINE_SET(o.delimiter = std::string(1, '\0'))},
    {"d delimiter", Argument::required, "TEXT", "Values end with TEXT; \\n \\t \\0 \\x2c work.",
     TINE_PARSE(store(parse_delimiter(v), o.delimiter))},
    {"C colsep col-sep", Argument::required, "REGEX",
     "Cut each line into columns {1} {2} ..., and trim them.", TINE_SET(o.column_separator = v)},
    {"header", Argument::required, ":",
     "The first line names the columns: {name}. With 0: {FILE} for each file.",
     TINE_SET(o.header = v == "0" ? Header::file_names : Header::first_record)},
    {"trim", Argument::required, "n|l|r|lr", "Remove white space around values: left, right, both.",
     TINE_PARSE(store(parse_trim(v), o.trim))},
    {"E eof-string", Argument::required, "TEXT", "Stop reading a source at the value TEXT.",
     TINE_SET(o.end_of_file = v)},
    {"e eof", Argument::optional, "TEXT", "As -E; without TEXT nothing stops the reading.",
     TINE_SET(if (v.empty()) o.end_of_file.reset(); else o.end_of_file = v)},
    {"r no-run-if-empty norunifempty", Argument::none, "", "Skip blank values.",
     TINE_SET(o.skip_blank = true)},
    {"link xapply", Argument::none, "",
     "Take one value from each source per job; short sources start again.",
     TINE_SET(o.link = true)},
    {"shuf", Argument::none, "", "Run the jobs in random order.", TINE_SET(o.shuffle = true)},
    {"arg-sep argsep", Argument::required, "TEXT", "Use TEXT in place of ::: .",
     TINE_SET(o.arg_separator = v)},
    {"arg-file-sep argfilesep", Argument::required, "TEXT", "Use TEXT in place of :::: .",
     TINE_SET(o.arg_file_separator = v)},
};

constexpr OptionEntry kTemplate[] = {
    {"I", Argument::required, "TEXT", "Use TEXT in place of {}.",
     TINE_SET(o.placeholders.value = v)},
    {"i replace", Argument::optional, "TEXT", "As -I; without TEXT it is {}.",
     TINE_SET(o.placeholders.value = v.empty() ? "{}" : v)},
    {"U extensionreplace er", Argument::required, "TEXT", "Use TEXT in place of {.}.",
     TINE_SET(o.placeholders.no_extension = v)},
    {"basenamereplace bnr", Argument::required, "TEXT", "Use TEXT in place of {/}.",
     TINE_SET(o.placeholders.basename = v)},
    {"dirnamereplace dnr", Argument::required, "TEXT", "Use TEXT in place of {//}.",
     TINE_SET(o.placeholders.dirname = v)},
    {"basenameextensionreplace bner", Argument::required, "TEXT", "Use TEXT in place of {/.}.",
     TINE_SET(o.placeholders.basename_no_ext = v)},
    {"seqreplace", Argument::required, "TEXT", "Use TEXT in place of {#}.",
     TINE_SET(o.placeholders.sequence = v)},
    {"slotreplace", Argument::required, "TEXT", "Use TEXT in place of {%}.",
     TINE_SET(o.placeholders.slot = v)},
    {"plus", Argument::none, "",
     "More replacement strings: {##} {0#} {..} {+.} {+/} {:1:3} {%.gz} {#pre} {/a/b} ...",
     TINE_SET(o.plus = true)},
    {"q quote", Argument::none, "", "Quote the template: the shell sees its words as they are.",
     TINE_SET(o.quote = true)},
    {"shellquote shell-quote shell_quote", Argument::none, "",
     "Print each command quoted for the shell instead of running it.", TINE_SET(++o.shell_quote)},
    {"shell", Argument::none, "", "Run every command by the shell, even a simple one.",
     TINE_SET(o.shell = ShellUse::always)},
    {"no-shell", Argument::none, "", "Never use a shell; a command that needs one is an error.",
     TINE_SET(o.shell = ShellUse::never)},
};

constexpr OptionEntry kBatch[] = {
    {"n max-args maxargs", Argument::required, "N",
     "At most N values per command; 0: none of them.",
     TINE_PARSE(store(parse_count(v), o.max_args))},
    {"N max-replace-args maxreplaceargs", Argument::required, "N",
     "As -n, and {1} to {N} are the values.",
     [](Options& o, std::string_view v) -> Applied {
       o.repeat_context = true;
       return store(parse_count(v), o.max_replace_args);
     }},
    {"L", Argument::required, "N", "N lines per command; one that ends in a blank goes on.",
     TINE_PARSE(store(parse_count(v), o.max_lines))},
    {"l max-lines maxlines", Argument::optional_number, "N", "As -L; without N it is 1.",
     [](Options& o, std::string_view v) -> Applied {
       auto stored = store(parse_count(v.empty() ? "1" : v), o.max_lines);
       if (stored && o.max_lines == 0) o.max_lines = 1;
       o.lines_as_args = true;
       return stored;
     }},
    {"X", Argument::none, "", "As many values as fit; a{}b becomes a1b a2b.",
     TINE_SET(o.fill_repeating = o.repeat_context = true)},
    {"m", Argument::none, "", "As many values as fit; a{}b becomes a1 2b.",
     TINE_SET(o.fill = true)},
    {"xargs", Argument::none, "", "As -m, but the last ones are not shared among the slots.",
     TINE_SET(o.xargs = true)},
    {"s max-chars maxchars", Argument::required, "N", "Command lines are shorter than N bytes.",
     TINE_PARSE(store(parse_count(v), o.max_chars))},
    {"x exit", Argument::none, "",
     "End the run when N values (-n -N -L) make a command line too long, rather than take fewer.",
     TINE_SET(o.exit_if_too_long = true)},
};

constexpr OptionEntry kRunning[] = {
    {"j jobs P max-procs maxprocs procs", Argument::required, "N",
     "Jobs at a time: N, +N, -N, N% of the processors, 0 for no limit, or a file. Default 100%.",
     TINE_PARSE(store(parse_jobs(v), o.jobs))},
    {"halt halt-on-error haltonerror", Argument::required, "WHEN",
     "never, or when to stop: now,fail=1  soon,fail=10%  now,success=1  soon,done=5.",
     TINE_PARSE(store(parse_halt(v), o.halt))},
    {"retries", Argument::required, "N", "Try a failing job up to N times; 0: until it succeeds.",
     TINE_PARSE(store(parse_count(v), o.retries))},
    {"timeout", Argument::required, "TIME",
     "End a job that takes longer: 30, 1.5h, 1d3h, or 200% of the median.",
     TINE_PARSE(store(parse_timeout(v), o.timeout))},
    {"delay", Argument::required, "TIME", "Wait so long between the starts of two jobs.",
     [](Options& o, std::string_view v) -> Applied {
       if (v.ends_with("auto")) return std::unexpected("'auto' is not supported yet; give a time");
       return store(parse_duration(v), o.delay);
     }},
    {"term-seq termseq", Argument::required, "SEQ",
     "How jobs are ended: SIGNAL,milliseconds,... Default TERM,200,TERM,100,TERM,50,KILL,25.",
     TINE_PARSE(store(parse_term_sequence(v), o.term_sequence))},
    {"nice", Argument::required, "N", "Run the jobs at this niceness.",
     TINE_PARSE(store(parse_integer(v), o.nice))},
    {"workdir wd work-dir", Argument::required, "DIR", "Run the jobs in DIR.",
     [](Options& o, std::string_view v) -> Applied {
       if (v == "...") {
         return std::unexpected(
             "'...' (a directory made for each job) is not supported yet; "
             "give the name of a directory");
       }
       o.working_directory = v;
       return {};
     }},
    {"process-slot-var processslotvar", Argument::required, "NAME",
     "Set the variable NAME to the slot of the job, from 0.",
     TINE_SET(o.process_slot_variable = v)},
    {"dry-run dryrun dr", Argument::none, "", "Print the commands, run nothing.",
     TINE_SET(o.dry_run = true)},
};

constexpr OptionEntry kOutput[] = {
    {"k keep-order keeporder", Argument::none, "", "Print the output in the order of the input.",
     TINE_SET(o.keep_order = true)},
    {"no-keep-order nokeeporder nok no-k", Argument::none, "", "Undo -k.",
     TINE_SET(o.keep_order = false)},
    {"group", Argument::none, "", "Print the output of a job when it ends (default).",
     TINE_SET(o.grouping = Grouping::job)},
    {"lb line-buffer line-buffered linebuffer linebuffered", Argument::none, "",
     "Print whole lines as they come.", TINE_SET(o.grouping = Grouping::line)},
    {"u ungroup", Argument::none, "", "Leave the output alone: jobs write where they like.",
     TINE_SET(o.grouping = Grouping::none)},
    {"tag", Argument::none, "", "Begin each line with the values of its job and a tab.",
     TINE_SET(o.tag = true)},
    {"tagstring tag-string", Argument::required, "TEXT",
     "Begin each line with TEXT, replaced as in a command, and a tab.",
     TINE_SET(o.tag_string = tag_text(v))},
    {"v", Argument::none, "", "Print each command before its output; twice for more.",
     TINE_SET(++o.verbose)},
    {"silent", Argument::none, "", "Undo -v.", TINE_SET(o.verbose = 0)},
    {"t verbose", Argument::none, "", "Print each command on stderr when it starts.",
     TINE_SET(o.verbose_on_stderr = true)},
    {"joblog jl", Argument::required, "FILE", "Write a line for each finished job; +FILE appends.",
     [](Options& o, std::string_view v) -> Applied {
       o.append_job_log = v.starts_with('+');
       o.job_log = o.append_job_log ? v.substr(1) : v;
       if (o.job_log.empty()) return std::unexpected("needs the name of a file");
       return {};
     }},
    {"results result res", Argument::required, "NAME",
     "Keep the output below the directory NAME, or in files if it holds a replacement string.",
     TINE_SET(o.results = v)},
    {"files output-as-files outputasfiles", Argument::none, "",
     "Print the names of files with the output.", TINE_SET(o.files = true)},
    {"tmpdir tempdir", Argument::required, "DIR", "Where output waits; default $TMPDIR or /tmp.",
     TINE_SET(o.temporary_directory = v)},
    {"bar", Argument::none, "", "Show a progress bar.", TINE_SET(o.bar = true)},
    {"eta", Argument::none, "", "Show the estimated time left.", TINE_SET(o.eta = true)},
    {"progress", Argument::none, "", "Show what is running.", TINE_SET(o.progress = true)},
    {"summary", Argument::none, "",
     "At the end: jobs, failures, wall and CPU time, jobs/s, the slowest five.",
     TINE_SET(o.summary = true)},
    {"no-failures", Argument::none, "", "Do not list the jobs that failed at the end.",
     TINE_SET(o.list_failures = false)},
    {"total-jobs totaljobs total", Argument::required, "N",
     "How many jobs there will be: for --bar, --eta, N% and {##}, instead of reading all input.",
     [](Options& o, std::string_view v) -> Applied {
       auto stored = store(parse_count(v), o.total_jobs);
       if (stored && o.total_jobs == 0) o.total_jobs.reset();  // so does GNU parallel
       return stored;
     }},
};

constexpr OptionEntry kInformation[] = {
    {"h help", Argument::none, "", "Print this and exit.", TINE_SET(o.action = Action::help)},
    {"V version", Argument::none, "", "Print the version and exit.",
     TINE_SET(o.action = Action::version)},
    {"minversion min-version", Argument::required, "N", "Fail if this is older than version N.",
     [](Options& o, std::string_view v) -> Applied {
       o.action = Action::minimum_version;
       return store(parse_count(v), o.minimum_version);
     }},
    {"number-of-threads numberofthreads", Argument::none, "", "Print how many threads can run.",
     TINE_SET(o.action = Action::number_of_threads)},
    {"number-of-cores numberofcores", Argument::none, "", "Print the number of cores.",
     TINE_SET(o.action = Action::number_of_cores)},
    {"number-of-cpus numberofcpus", Argument::none, "", "Print the number of processors.",
     TINE_SET(o.action = Action::number_of_cpus)},
    {"number-of-sockets numberofsockets", Argument::none, "", "Print the number of sockets.",
     TINE_SET(o.action = Action::number_of_sockets)},
    {"max-line-length-allowed maxlinelengthallowed", Argument::none, "",
     "Print how long a command line may be.", TINE_SET(o.action = Action::max_line_length)},
    {"show-limits showlimits", Argument::none, "", "Print the limits, then go on.",
     TINE_SET(o.show_limits = true)},
    {"plain", Argument::none, "", "Ignore the options in $PARALLEL.", TINE_SET(o.plain = true)},
    {"will-cite willcite no-notice nonotice nn gnu", Argument::none, "", "", ignore},
};

#undef TINE_SET
#undef TINE_PARSE

constexpr OptionGroup kGroups[] = {
    {"Input", kInput},     {"Template", kTemplate}, {"Several values per command", kBatch},
    {"Running", kRunning}, {"Output", kOutput},     {"Information", kInformation},
};

}  // namespace

std::span<const OptionGroup> option_groups() { return kGroups; }

}  // namespace tine::cli
