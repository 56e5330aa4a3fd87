// SPDX-License-Identifier: MIT
#pragma once

/// Several ranges side by side, as long as the shortest: what std::views::zip is, which not every
/// standard library has.
///
///     for (const auto& [file, size] : tine::zip(files, sizes)) ...
///
/// Ranges that are no temporaries are looked at, others are kept. Elements are tuples of what the
/// ranges' own iterators give.

#include <cstddef>
#include <iterator>
#include <ranges>
#include <tuple>
#include <utility>

namespace tine {

template <std::ranges::viewable_range... Ranges>
[[nodiscard]] auto zip(Ranges&&... ranges);

namespace detail {

template <std::ranges::view... Views>
class Zip {
 public:
  class sentinel {
   public:
    sentinel() = default;
    explicit sentinel(std::tuple<std::ranges::sentinel_t<Views>...> ends)
        : ends_(std::move(ends)) {}

   private:
    friend class Zip;
    std::tuple<std::ranges::sentinel_t<Views>...> ends_;
  };
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    /// Not of the elements' values: such tuples have no common reference before C++23's library.
    using value_type = std::tuple<std::ranges::range_reference_t<Views>...>;

    explicit iterator(std::tuple<std::ranges::iterator_t<Views>...> at) : at_(std::move(at)) {}
    auto operator*() const {
      return std::apply(
          [](const auto&... at) {
            return std::tuple<std::ranges::range_reference_t<Views>...>(*at...);
          },
          at_);
    }
    iterator& operator++() {
      std::apply([](auto&... at) { (++at, ...); }, at_);
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, const sentinel& end) {
      return i.reached(end, std::index_sequence_for<Views...>{});
    }

   private:
    template <std::size_t... kI>
    bool reached(const sentinel& end, std::index_sequence<kI...>) const {
      return ((std::get<kI>(at_) == end_of<kI>(end)) || ...);
    }
    template <std::size_t kI>
    static const auto& end_of(const sentinel& end) {
      return Zip::ends(end, std::integral_constant<std::size_t, kI>{});
    }
    std::tuple<std::ranges::iterator_t<Views>...> at_;
  };

  explicit Zip(Views... views) : views_(std::move(views)...) {}
  auto begin() {
    return iterator(
        std::apply([](auto&... view) { return std::tuple(std::ranges::begin(view)...); }, views_));
  }
  auto end() {
    return sentinel(
        std::apply([](auto&... view) { return std::tuple(std::ranges::end(view)...); }, views_));
  }

 private:
  template <std::size_t kI>
  static const auto& ends(const sentinel& end, std::integral_constant<std::size_t, kI>) {
    return std::get<kI>(end.ends_);
  }
  std::tuple<Views...> views_;
};

}  // namespace detail

template <std::ranges::viewable_range... Ranges>
auto zip(Ranges&&... ranges) {
  return detail::Zip<std::views::all_t<Ranges>...>(
      std::views::all(std::forward<Ranges>(ranges))...);
}

}  // namespace tine
