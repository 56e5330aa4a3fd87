// SPDX-License-Identifier: MIT

/// What must not compile. The lines `expect:` above each piece of code are in what the compiler
/// says of it, and it says nothing else: see check.sh.

#include <functional>
#include <string_view>

#include "tine/codec.h"
#include "tine/detail/codec_payload.h"
#include "tine/pool.h"

using tine::decode;
using tine::encode;

// expect: a pointer (T, at the end of Way) cannot travel
// expect: T = const char*
// expect: Way = {Member<2, Outer>, Inside<std::vector<Inner,
// expect:  > >, Member<1, Inner>}
struct Inner {
  int a;
  const char* text;
};
struct Outer {
  int a;
  int b;
  std::vector<Inner> inner;
};
auto pointer() { return encode(Outer{}); }

// expect: a reference (T, at the end of Way) cannot travel
// expect: &; Way = {Member<1, Referrer>}
struct Referrer {
  int a;
  const std::string& text;
};
auto reference() { return decode<Referrer>({}); }

// expect: a reference (T, at the end of Way) cannot travel
// expect: T = std::reference_wrapper<int>
auto reference_wrapper(int& number) { return encode(std::vector{std::ref(number)}); }

// expect: a view (T, at the end of Way) cannot travel: it does not own what it shows
// expect: T = std::basic_string_view<char>; Way = {Member<0, Viewer>, Inside<std::map<
struct Viewer {
  std::map<std::string, std::string_view> views;
};
auto view() { return encode(Viewer{}); }

// expect: a view (T, at the end of Way) cannot travel
// expect: T = std::span<double>
auto span() { return decode<std::optional<std::span<double>>>({}); }

// expect: a function (T, at the end of Way) cannot travel as a value
// expect: T = std::function<void()>; Way = {Member<1, Task>}
struct Task {
  int a;
  std::function<void()> run;
};
auto function() { return encode(Task{}); }

// expect: a function (T, at the end of Way) cannot travel as a value
// expect: Way = {Member<0, Callback>}
struct Callback {
  int (*run)(int);
};
auto function_pointer() { return encode(Callback{}); }

// expect: a shared pointer (T, at the end of Way) cannot travel
// expect: T = std::shared_ptr<int>
auto shared_pointer() { return encode(std::shared_ptr<int>{}); }

// expect: is a class that cannot be looked into, and has no codec. Specialise tine::Codec<T>
// expect: T = Colour; Way = {Member<1, Painted>, Inside<std::optional<Colour> >}
class Colour {
 public:
  Colour() = default;

 private:
  int red_ = 0;
};
struct Painted {
  int a;
  std::optional<Colour> colour;
};
auto class_without_codec() { return encode(Painted{}); }

// expect: an aggregate with a base class (T, at the end of Way) cannot be looked into
// expect: T = Derived
struct Base {
  int a;
};
struct Derived : Base {
  int b;
};
auto base_class() { return encode(Derived{}); }

// expect: an aggregate of more than 40 members (T, at the end of Way) cannot be looked into
// expect: T = Many
struct Many {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20;
  int b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16, b17, b18, b19, b20;
  int c1, c2;
};
auto many_members() { return encode(Many{}); }

// expect: a union (T, at the end of Way) cannot travel: nobody knows which member it holds
// expect: T = Either
union Either {
  int number;
  float real;
};
auto either() { return encode(std::array<Either, 2>{}); }

// expect: is a number too wide to travel
// expect: T = long double
auto wide_number() { return encode(std::complex<long double>{}); }

// expect: an array cannot travel by itself. Send a std::array, a std::vector or a std::string
auto bare_array() { return encode("text"); }

class Celsius {
 public:
  explicit Celsius(double value) : degrees(value) {}
  double degrees;
};
template <>
struct tine::Codec<Celsius> {
  static void encode(Encoder& encoder, const Celsius& celsius) { encoder.write(celsius.degrees); }
  static Celsius decode(Decoder& decoder) { return Celsius(decoder.read<double>()); }
};

// expect: has an array, and other members that cannot be made from nothing and assigned
// expect: T = Measured
struct Measured {
  Celsius celsius;
  int counts[3];
};
auto array_to_fill() { return decode<Measured>({}); }

// expect: a view (T, at the end of Way) cannot travel
// expect: T = std::basic_string_view<char>; Way = {}
auto in_a_codec(tine::Decoder& decoder) { return decoder.read<std::string_view>(); }

// expect: a pointer (T, at the end of Way) cannot travel
// expect: T = double*; Way = {Member<1, Slice>}
struct Slice {
  std::size_t size;
  double* data;
};
auto pointer_in_raw() { return tine::detail::read_payload<Slice>({}); }

// expect: only what is nothing but its bytes can be viewed in place
auto view_of_no_bytes() { return tine::detail::view_payload<std::string>({}); }

// expect: tine::Pool: the function captures something
// expect: use tine::call or tine::map
auto captures(tine::Pool& pool, int n) {
  return pool.submit([n] { return n; });
}

// expect: tine::Pool: the function captures something
auto may_capture(tine::Pool& pool) {
  return pool.submit([&] { return 1; });
}

// expect: this is called in another process
// expect: a lambda without captures
auto options_with_captures(int n) {
  return tine::Pool{{.retry_if = [n](const tine::Failure&) { return n > 0; }}};
}

// expect: a pointer (T, at the end of Way) cannot travel
auto pointer_argument(tine::Pool& pool, int* n) {
  return pool.submit([](int*) {}, n);
}
