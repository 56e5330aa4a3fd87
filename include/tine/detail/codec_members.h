// SPDX-License-Identifier: MIT
#pragma once

/// How many members an aggregate has, and a function called with all of them. Not part of the
/// interface; it may change in any release.
///
/// C++23 can neither expand a pack to `{}, {}, {}` nor to the names of a structured binding, so
/// both are written out, up to kMostMembers: two tables and nothing else, which is why the file is
/// long.

#include <cstddef>

namespace tine::detail {

template <class... Ts>
struct Types {};

constexpr std::size_t kMostMembers = 40;

// clang-format off

/// The greatest N for which N empty braces, followed by an `After{}` each, initialise a T. Without
/// `After` that is the number of members, arrays counted once, if each of them can be made from
/// nothing; kMostMembers + 1 where there are more.
template <class T, class... After>
consteval std::size_t count_by_braces() {
  if constexpr (!requires { T{{},After{}...}; }) return 0; else
  if constexpr (!requires { T{{},{},After{}...}; }) return 1; else
  if constexpr (!requires { T{{},{},{},After{}...}; }) return 2; else
  if constexpr (!requires { T{{},{},{},{},After{}...}; }) return 3; else
  if constexpr (!requires { T{{},{},{},{},{},After{}...}; }) return 4; else
  if constexpr (!requires { T{{},{},{},{},{},{},After{}...}; }) return 5; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},After{}...}; }) return 6; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},After{}...}; }) return 7; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},After{}...}; }) return 8; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},After{}...}; }) return 9; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},After{}...}; }) return 10; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},After{}...}; }) return 11; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},After{}...}; }) return 12; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 13; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 14; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 15; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 16; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 17; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 18; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 19; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 20; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 21; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 22; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},After{}...}; }) return 23; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},After{}...}; }) return 24; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},After{}...}; }) return 25; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},After{}...}; }) return 26; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},After{}...}; }) return 27; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},After{}...}; }) return 28; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},After{}...}; }) return 29; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},After{}...}; }) return 30; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},After{}...}; }) return 31; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},After{}...}; }) return 32; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},After{}...}; }) return 33; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},{},After{}...}; }) return 34; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},{},{},After{}...}; }) return 35; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 36; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 37; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 38; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 39; else
  if constexpr (!requires { T{{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              {},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},
                              After{}...}; }) return 40; else
  return kMostMembers + 1;
}

/// Calls `visit(Types<M...>{}, members...)` with the members of `value`, as many as kCount, as
/// lvalues; the M are their declared types, references as such, const where `value` is.
template <std::size_t kCount, class T, class Visit>
constexpr decltype(auto) visit_members(T& value, Visit&& visit) {
  if constexpr (kCount == 0) {
    return visit(Types<>{});
  } else if constexpr (kCount == 1) {
    auto& [a] = value;
    return visit(Types<decltype(a)>{}, a);
  } else if constexpr (kCount == 2) {
    auto& [a,b] = value;
    return visit(Types<decltype(a),decltype(b)>{}, a,b);
  } else if constexpr (kCount == 3) {
    auto& [a,b,c] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c)>{}, a,b,c);
  } else if constexpr (kCount == 4) {
    auto& [a,b,c,d] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d)>{}, a,b,c,d);
  } else if constexpr (kCount == 5) {
    auto& [a,b,c,d,e] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e)>{}, a,b,c,d,e);
  } else if constexpr (kCount == 6) {
    auto& [a,b,c,d,e,f] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f)>{},
                 a,b,c,d,e,f);
  } else if constexpr (kCount == 7) {
    auto& [a,b,c,d,e,f,g] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g)>{}, a,b,c,d,e,f,g);
  } else if constexpr (kCount == 8) {
    auto& [a,b,c,d,e,f,g,h] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h)>{}, a,b,c,d,e,f,g,h);
  } else if constexpr (kCount == 9) {
    auto& [a,b,c,d,e,f,g,h,i] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i)>{}, a,b,c,d,e,f,g,h,i);
  } else if constexpr (kCount == 10) {
    auto& [a,b,c,d,e,f,g,h,i,j] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j)>{}, a,b,c,d,e,f,g,h,i,j);
  } else if constexpr (kCount == 11) {
    auto& [a,b,c,d,e,f,g,h,i,j,k] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k)>{},
                 a,b,c,d,e,f,g,h,i,j,k);
  } else if constexpr (kCount == 12) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l);
  } else if constexpr (kCount == 13) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m)>{}, a,b,c,d,e,f,g,h,i,j,k,l,m);
  } else if constexpr (kCount == 14) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n)>{}, a,b,c,d,e,f,g,h,i,j,k,l,m,n);
  } else if constexpr (kCount == 15) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o)>{}, a,b,c,d,e,f,g,h,i,j,k,l,m,n,o);
  } else if constexpr (kCount == 16) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p);
  } else if constexpr (kCount == 17) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q);
  } else if constexpr (kCount == 18) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r);
  } else if constexpr (kCount == 19) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s)>{}, a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s);
  } else if constexpr (kCount == 20) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t)>{}, a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t);
  } else if constexpr (kCount == 21) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u);
  } else if constexpr (kCount == 22) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v);
  } else if constexpr (kCount == 23) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w);
  } else if constexpr (kCount == 24) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x);
  } else if constexpr (kCount == 25) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y)>{}, a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y);
  } else if constexpr (kCount == 26) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z);
  } else if constexpr (kCount == 27) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A);
  } else if constexpr (kCount == 28) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B);
  } else if constexpr (kCount == 29) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C);
  } else if constexpr (kCount == 30) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D);
  } else if constexpr (kCount == 31) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E);
  } else if constexpr (kCount == 32) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F);
  } else if constexpr (kCount == 33) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G);
  } else if constexpr (kCount == 34) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G),decltype(H)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H);
  } else if constexpr (kCount == 35) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G),decltype(H),decltype(I)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I);
  } else if constexpr (kCount == 36) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G),decltype(H),decltype(I),decltype(J)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J);
  } else if constexpr (kCount == 37) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G),decltype(H),decltype(I),decltype(J),
                       decltype(K)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K);
  } else if constexpr (kCount == 38) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K,L] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G),decltype(H),decltype(I),decltype(J),
                       decltype(K),decltype(L)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K,L);
  } else if constexpr (kCount == 39) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K,L,M] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G),decltype(H),decltype(I),decltype(J),
                       decltype(K),decltype(L),decltype(M)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K,L,M);
  } else if constexpr (kCount == 40) {
    auto& [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K,L,M,N] = value;
    return visit(Types<decltype(a),decltype(b),decltype(c),decltype(d),decltype(e),decltype(f),
                       decltype(g),decltype(h),decltype(i),decltype(j),decltype(k),decltype(l),
                       decltype(m),decltype(n),decltype(o),decltype(p),decltype(q),decltype(r),
                       decltype(s),decltype(t),decltype(u),decltype(v),decltype(w),decltype(x),
                       decltype(y),decltype(z),decltype(A),decltype(B),decltype(C),decltype(D),
                       decltype(E),decltype(F),decltype(G),decltype(H),decltype(I),decltype(J),
                       decltype(K),decltype(L),decltype(M),decltype(N)>{},
                 a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,A,B,C,D,E,F,G,H,I,J,K,L,M,N);
  }
}

// clang-format on

}  // namespace tine::detail
