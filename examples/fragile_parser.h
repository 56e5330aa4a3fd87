// SPDX-License-Identifier: MIT
#pragma once

/// A parser as they are found in the wild: quick, of use, and trusting whatever a file says. Part
/// of the example crash_proof_scan.

#include <string_view>

namespace fragile {

/// The sum of what a ledger says was paid. Words:
///
///     account NAME       opens an account
///     pay NAME AMOUNT    to it
///     ( ... )            a group of such words, and groups may be in groups
///     rows N A B C ...   N amounts
///     { ... }            a comment
///     total AMOUNT       what it has come to, as the last word
///
/// Given another text it throws, exits, aborts, crashes, hangs or uses up all memory.
long read_ledger(std::string_view text);

}  // namespace fragile
