// SPDX-License-Identifier: MIT
#pragma once

/// System calls that this process is refused from here on, as a sandbox or an old kernel would: for
/// bodies of in_a_fork(). Source: seccomp(2)

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>

namespace tine::test {

/// `number` gives `errno_value`; if `third` is given, only where that is its third argument.
inline void refuse_call(long number, std::optional<std::uint32_t> third = {},
                        std::uint32_t errno_value = EINVAL) {
  const auto jump_if = [](std::uint32_t value, unsigned char yes, unsigned char no) {
    return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no);
  };
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      jump_if(static_cast<std::uint32_t>(number), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      jump_if(third.value_or(0), 0, third ? 1 : 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errno_value),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(code)), code};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

}  // namespace tine::test
