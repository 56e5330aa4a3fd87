// SPDX-License-Identifier: MIT
#pragma once

/// For what a forked child does first, up to the user's function, and last, behind it: such
/// functions stand side by side in a program, as the linker gathers what is hot.
///
/// fork() copies no page tables of code, so each 64 KiB of it that a young child comes to is a page
/// fault; spread over the library it was nine of them.
/// Source: mm/memory.c, vma_needs_copy(); Documentation/filesystems/debugfs, fault_around_bytes
#define TINE_YOUNG_CHILD [[gnu::hot]]
