// SPDX-License-Identifier: MIT
/// A large vector<double> as the result of a call, or of a task in a pool whose memory is warm,
/// from when the child has it complete until its parent has added up all elements; beside a bare
/// child with shared memory.
///
///   call_result --size SIZE [--count N] [--rounds R]
///               [--variants fresh,warm,place,copied,value,pool,poolvalue]
#include <tine/tine.h>

#include <optional>
#include <vector>

#include "reference/bare_result.h"
#include "reference/pipeline_variants.h"
#include "rounds.h"

namespace {

/// Nanoseconds of the clock that both processes share.
std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

/// When the last result was complete.
std::int64_t& complete() {
  static const bench::SharedBytes page(4096);
  return *static_cast<std::int64_t*>(page.data());
}

/// In the child.
std::vector<double> make(std::size_t bytes) {
  std::vector<double> value(bytes / sizeof(double), 1.0);
  complete() = now();
  return value;
}

class Measured {
 public:
  explicit Measured(std::size_t bytes) : bytes_(bytes), warm_(bytes) {
    warm_.touch();
    complete() = 0;  // children are to have the same page
  }

  void fresh() {
    const bench::SharedBytes memory(bytes_);
    bare(memory, false);
  }
  void warm() { bare(warm_, true); }
  void in_place() {
    const auto value = tine::call_in_place([this] { return make(bytes_); });
    use(value ? value->data() : refused(value.error()));
  }
  void in_place_and_copied() {
    const auto value = tine::call_in_place([this] { return make(bytes_); });
    if (!value) refused(value.error());
    const std::vector<double> copy(value->begin(), value->end());
    use(copy.data());
  }
  void by_value() {
    const auto value = tine::call([this] { return make(bytes_); });
    use(value ? value->data() : refused(value.error()));
  }
  void in_pool() {
    const auto value = pool().submit(make, bytes_).get_in_place();
    use(value ? value->data() : refused(value.error()));
  }
  void by_value_in_pool() {
    const auto value = pool().submit(make, bytes_).get();
    use(value ? value->data() : refused(value.error()));
  }
  [[nodiscard]] double elapsed() const { return elapsed_; }

 private:
  /// Its memory is warm.
  tine::Pool& pool() {
    if (!pool_) {
      pool_.emplace(tine::PoolOptions{.workers = 1, .warm_memory = bytes_});
      in_pool();
    }
    return *pool_;
  }
  void bare(const bench::SharedBytes& memory, bool is_warm) {
    bench::bare_result(
        memory, is_warm, [this] { return make(bytes_); },
        [this](const void* elements) { use(static_cast<const double*>(elements)); });
  }
  /// In the parent. Four sums, for additions one after the other would take longer than the memory.
  void use(const double* elements) {
    double sums[4] = {};
    for (std::size_t i = 0; i < bytes_ / sizeof(double); i += 4) {
      for (std::size_t part = 0; part < 4; ++part) sums[part] += elements[i + part];
    }
    elapsed_ = static_cast<double>(now() - complete());
    if (sums[0] + sums[1] + sums[2] + sums[3] != static_cast<double>(bytes_ / sizeof(double))) {
      bench::fail("elements are missing");
    }
  }
  [[noreturn]] static const double* refused(const tine::Failure& failure) {
    bench::fail(failure.to_string());
  }

  std::size_t bytes_;
  bench::SharedBytes warm_;
  std::optional<tine::Pool> pool_;
  double elapsed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse(argc, argv);
  Measured measured(std::stoull(bare::bytes_of(options.size)));
  const auto variant = [&](const std::string& name, void (Measured::*once)()) {
    return bench::Variant{name,
                          [&measured, once] { (measured.*once)(); },
                          {},
                          [&measured] { return measured.elapsed(); }};
  };
  bench::measure(
      {variant("fresh", &Measured::fresh), variant("warm", &Measured::warm),
       variant("place", &Measured::in_place), variant("copied", &Measured::in_place_and_copied),
       variant("value", &Measured::by_value), variant("pool", &Measured::in_pool),
       variant("poolvalue", &Measured::by_value_in_pool)},
      options);
}
