# SPDX-License-Identifier: MIT
#
# msgpack-cxx, of which headers are all that is needed: those of the package libmsgpack-cxx-dev, or
# what ./dev has unpacked of it.

find_path(TINE_MSGPACK_INCLUDE_DIR msgpack/pack.hpp
          HINTS "${PROJECT_SOURCE_DIR}/build/headers/usr/include")
if(NOT TINE_MSGPACK_INCLUDE_DIR)
  message(FATAL_ERROR "msgpack-cxx was not found: run ./dev build once, which fetches its headers"
          " (libmsgpack-cxx-dev brings a Boost with it that tine has no use for)")
endif()

function(tine_use_msgpack target)
  target_include_directories(${target} SYSTEM PRIVATE "${TINE_MSGPACK_INCLUDE_DIR}")
  # The stack of its parser stays empty where each item is parsed by itself, so that nothing needs
  # to be reserved for it.
  target_compile_definitions(${target} PRIVATE MSGPACK_NO_BOOST MSGPACK_EMBED_STACK_SIZE=0)
endfunction()
