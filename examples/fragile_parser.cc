// SPDX-License-Identifier: MIT
#include "fragile_parser.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <numeric>
#include <string>
#include <vector>

namespace fragile {
namespace {

struct Account {
  std::string name;
  long paid = 0;
};

class Ledger {
 public:
  explicit Ledger(std::string_view text) : rest_(text) {}

  long read() {
    while (!rest_.empty()) statement(next_word());
    return total_;
  }

 private:
  [[gnu::noinline]] std::string_view next_word() {
    const std::size_t begin = std::min(rest_.find_first_not_of(" \n"), rest_.size());
    const std::size_t end = std::min(rest_.find_first_of(" \n", begin), rest_.size());
    const std::string_view word = rest_.substr(begin, end - begin);
    rest_.remove_prefix(end);
    return word;
  }

  [[gnu::noinline]] long amount() { return std::stol(std::string(next_word())); }

  Account* find(std::string_view name) {
    for (Account& account : accounts_) {
      if (account.name == name) return &account;
    }
    return nullptr;
  }

  [[gnu::noinline]] void pay() {
    Account* const account = find(next_word());
    const long paid = amount();
    account->paid += paid;  // surely there is one
    total_ += paid;
  }

  [[gnu::noinline]] void group() {
    for (auto word = next_word(); word != ")"; word = next_word()) statement(word);
    groups_ = groups_ + 1;
  }

  [[gnu::noinline]] void rows() {
    std::vector<long> all(static_cast<std::size_t>(amount()));  // surely that many follow
    for (long& row : all) row = amount();
    total_ += std::accumulate(all.begin(), all.end(), 0L);
  }

  [[gnu::noinline]] void comment() {
    while (next_word() != "}") comments_ = comments_ + 1;  // surely it is closed
  }

  [[gnu::noinline]] void check_total() {
    if (amount() != total_) std::abort();  // cannot be
  }

  [[gnu::noinline]] void statement(std::string_view word) {
    if (word.empty()) return;
    if (word == "account") {
      accounts_.push_back({std::string(next_word())});
    } else if (word == "pay") {
      pay();
    } else if (word == "(") {
      group();
    } else if (word == "rows") {
      rows();
    } else if (word == "{") {
      comment();
    } else if (word == "total") {
      check_total();
    } else {
      std::fprintf(stderr, "ledger: what is '%s'?\n", std::string(word).c_str());
      std::exit(2);  // whoever uses a parser is a command
    }
  }

  std::string_view rest_;
  std::deque<Account> accounts_;
  long total_ = 0;
  volatile long groups_ = 0;
  volatile long comments_ = 0;
};

}  // namespace

long read_ledger(std::string_view text) { return Ledger(text).read(); }

}  // namespace fragile
