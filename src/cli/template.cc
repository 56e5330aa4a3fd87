// SPDX-License-Identifier: MIT
#include "cli/template.h"

#include <algorithm>
#include <charconv>

namespace tine::cli {
namespace {

/// The command line: text as it stands, values quoted.
struct LineSink {
  std::string& out;
  bool raw;

  void text(const Template::Piece& piece) { out += piece.text; }
  void word_end() { out += ' '; }
  void between_values() { out += ' '; }
  void fact(std::string_view fact) { out += fact; }
  void value(std::string_view value) {
    if (raw) {
      out += value;
    } else {
      append_quoted(out, value);
    }
  }
  void absent() {}
};

/// The command line with -q: words are collected first and quoted as a whole.
struct WordSink {
  std::string& out;
  std::string& word;
  bool present = false;
  bool first = true;

  void text(const Template::Piece& piece) { append(piece.text); }
  void word_end() { flush(); }
  void between_values() { flush(); }
  void fact(std::string_view fact) { append(fact); }
  void value(std::string_view value) { append(value); }
  void absent() { append({}); }
  void append(std::string_view part) {
    word += part;
    present = true;
  }
  void flush() {
    if (!present) return;
    if (!first) out += ' ';
    append_quoted(out, word);
    word.clear();
    present = false;
    first = false;
  }
};

/// The words themselves. Strings already in `argv` are used again.
struct ArgvSink {
  std::vector<std::string>& argv;
  bool keeps_absent;  ///< -q makes a word of it
  std::size_t count = 0;
  bool open = false;

  void text(const Template::Piece& piece) {
    for (const auto& chunk : piece.chunks) {
      if (chunk.breaks) open = false;
      if (chunk.present) append(chunk.text);
    }
  }
  void word_end() { open = false; }
  void between_values() { open = false; }
  void fact(std::string_view fact) { append(fact); }
  void value(std::string_view value) { append(value); }
  void absent() {
    if (keeps_absent) append({});
  }
  void append(std::string_view part) {
    if (!open) {
      if (count == argv.size()) argv.emplace_back();
      argv[count++].clear();
      open = true;
    }
    argv[count - 1] += part;
  }
};

std::string_view decimal(std::uint64_t number, std::size_t width, std::string& scratch) {
  char digits[24];
  auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
  auto size = static_cast<std::size_t>(end - digits);
  scratch.assign(width > size ? width - size : 0, '0');
  scratch.append(digits, size);
  return scratch;
}

std::size_t digits_of(std::uint64_t number) {
  std::size_t digits = 1;
  while (number >= 10) {
    number /= 10;
    ++digits;
  }
  return digits;
}

}  // namespace

std::string_view Template::job_fact(const Transform& transform, const JobValues& values) {
  switch (transform.operation) {
    case Operation::sequence: return decimal(values.sequence, 0, scratch_);
    case Operation::total: return decimal(values.total, 0, scratch_);
    case Operation::padded_sequence:
      return decimal(values.sequence, digits_of(values.total), scratch_);
    case Operation::padded_slot:
      return decimal(static_cast<std::uint64_t>(values.slot),
                     digits_of(static_cast<std::uint64_t>(values.slots)), scratch_);
    case Operation::slot: return decimal(static_cast<std::uint64_t>(values.slot), 0, scratch_);
    default: return transform.text;
  }
}

// `all` are the values for a piece without a position: every one, or the one of this repetition.
template <class Sink>
void Template::put(const Piece& piece, const JobValues& values, std::span<const std::string> all,
                   Sink& sink) {
  if (piece.kind == Piece::Kind::text) return sink.text(piece);
  if (piece.kind == Piece::Kind::word_end) return sink.word_end();
  if (piece.transform.about_job()) return sink.fact(job_fact(piece.transform, values));
  auto put_value = [&](std::string_view value) {
    auto changed = apply(piece.transform, value, scratch_);
    if (!values.blank || !changed.empty()) sink.value(changed);
  };
  auto count = static_cast<std::ptrdiff_t>(values.args.size());
  std::ptrdiff_t at = piece.position > 0 ? piece.position - 1 : count + piece.position;
  // One before the first, {-2} of a single value, is every value again, as in GNU parallel.
  if (piece.position != 0 && at != -1) {
    if (at < 0 || at >= count) return sink.absent();
    return put_value(values.args[static_cast<std::size_t>(at)]);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0) sink.between_values();
    put_value(all[i]);
  }
}

template <class Sink>
void Template::walk_segment(const Segment& segment, const JobValues& values, Sink& sink) {
  auto once = [&](std::span<const std::string> all) {
    for (std::size_t i = segment.first; i < segment.last; ++i) put(pieces_[i], values, all, sink);
  };
  if (!segment.repeats || values.args.empty()) return once(values.args);
  for (std::size_t i = 0; i < values.args.size(); ++i) {
    if (i > 0) sink.between_values();
    once(values.args.subspan(i, 1));
  }
}

template <class Sink>
void Template::walk(const JobValues& values, Sink& sink) {
  for (const Segment& segment : segments_) walk_segment(segment, values, sink);
}

void Template::render(const JobValues& values, std::string& out) {
  if (quoting_ == Quoting::words) {
    word_.clear();
    WordSink sink{out, word_};
    walk(values, sink);
    sink.flush();
  } else {
    LineSink sink{out, raw_values_};
    walk(values, sink);
  }
}

bool Template::render_argv(const JobValues& values, std::string_view line,
                           std::vector<std::string>& argv) {
  if (direct_ == Direct::compiled) {
    ArgvSink sink{argv, quoting_ == Quoting::words};
    walk(values, sink);
    argv.resize(sink.count);
    if (first_word_ == FirstWord::program || same_as_builtin(first_word_, argv)) return true;
  } else if (direct_ == Direct::per_line) {
    if (auto words = split_simple(line); words && !words->empty()) {
      FirstWord first = classify(words->front(), facts_);
      if (first != FirstWord::shell && same_as_builtin(first, *words)) {
        argv = *std::move(words);
        return true;
      }
    }
  }
  argv.clear();
  return false;
}

void Template::find_direct_form(const ShellFacts& facts) {
  facts_ = facts;
  direct_ = Direct::never;
  if (!facts.predictable) {
    needs_shell_ = "the shell's start-up settings may change what it means";
  } else if (raw_values_) {
    direct_ = Direct::per_line;
    needs_shell_ = {};
  } else if (!compile_words()) {
    needs_shell_ = "it contains shell syntax";
  } else if (!find_first_word(facts)) {
    needs_shell_ = "its first word may be something that only a shell knows";
  } else {
    direct_ = Direct::compiled;
    needs_shell_ = {};
  }
}

bool Template::compile_words() {
  WordScanner scanner;
  return std::ranges::all_of(
             segments_,
             [&](const Segment& segment) { return compile_segment(segment, scanner); }) &&
         scanner.finish();
}

// What is repeated has to be read in the same way each time: it begins a word, and ends outside of
// quotes.
bool Template::compile_segment(const Segment& segment, WordScanner& scanner) {
  bool before = scanner.between_words();
  for (std::size_t i = segment.first; i < segment.last; ++i) {
    if (!compile_piece(pieces_[i], scanner)) return false;
  }
  return !segment.repeats || quoting_ == Quoting::words || (before && scanner.finish());
}

bool Template::compile_piece(Piece& piece, WordScanner& scanner) {
  piece.chunks.clear();
  if (piece.kind == Piece::Kind::word_end) return true;
  if (piece.kind == Piece::Kind::text) {
    if (quoting_ != Quoting::words) return scanner.feed(piece.text, piece.chunks);
    piece.chunks.push_back({.text = piece.text, .present = true});
    return true;
  }
  // The text of a variable is for the shell to expand.
  if (piece.transform.operation == Operation::shell_variable) return false;
  return quoting_ == Quoting::words || scanner.feed_value();
}

bool Template::find_first_word(const ShellFacts& facts) {
  std::string word;
  std::string path;  // what stands before the first value
  bool begun = false;
  bool fixed = true;
  for (const Piece& piece : pieces_) {
    if (piece.kind == Piece::Kind::word_end) break;
    if (piece.kind == Piece::Kind::replacement) {
      if (fixed) path = word;
      begun = true;
      fixed = false;
      continue;
    }
    bool ended = false;
    for (const auto& chunk : piece.chunks) {
      if (chunk.breaks && begun) ended = true;
      if (ended) break;
      if (!chunk.present) continue;
      begun = true;
      word += chunk.text;
    }
    if (ended) break;
  }
  first_word_ = classify(word, facts);
  if (fixed) return first_word_ != FirstWord::shell;
  // With a value in it only a path is sure to name a program.
  first_word_ = FirstWord::program;
  return facts.functions.empty() && path.find('/') != std::string::npos &&
         word.find('=') == std::string::npos;
}

}  // namespace tine::cli
