# SPDX-License-Identifier: MIT
#
# libdw (elfutils) makes functions and lines of the addresses where a child crashed. Without it a
# backtrace has modules and offsets.

option(TINE_USE_LIBDW "Backtraces with functions and lines, by libdw where it is installed" ON)
find_library(TINE_LIBDW dw)
find_path(TINE_LIBDW_INCLUDE elfutils/libdwfl.h)
mark_as_advanced(TINE_LIBDW TINE_LIBDW_INCLUDE)

set(TINE_LIBDW_FLAGS "")
if(TINE_USE_LIBDW AND TINE_LIBDW AND TINE_LIBDW_INCLUDE)
  # Programs that never ask for a backtrace need not load it, nor the four libraries behind it.
  set(TINE_LIBDW_FLAGS "-Wl,--push-state,--as-needed,-ldw,--pop-state")
endif()

# For the layer that calls it.
function(tine_use_libdw layer)
  if(TINE_LIBDW_FLAGS)
    target_compile_definitions(${layer} PRIVATE TINE_WITH_LIBDW)
    target_include_directories(${layer} SYSTEM PRIVATE "${TINE_LIBDW_INCLUDE}")
  endif()
endfunction()

# For the library. A target that sets TINE_WITHOUT_LIBDW promises to call nothing that needs it: one
# that is linked statically, on a system whose libdw is a shared library alone.
function(tine_link_libdw library)
  if(TINE_LIBDW_FLAGS)
    set(wanted "$<NOT:$<BOOL:$<TARGET_PROPERTY:TINE_WITHOUT_LIBDW>>>")
    target_link_libraries(${library} PRIVATE "$<${wanted}:${TINE_LIBDW_FLAGS}>")
  endif()
endfunction()
