# SPDX-License-Identifier: MIT
#
# One object library per layer, src/NAME/*.cc. A layer sees its own headers, those of the layers
# that it is linked to, and the public ones: each gets an include directory of its own, with one link
# in it, so that `#include "command/start.h"` inside src/os/ finds nothing.

add_library(tine_flags INTERFACE)
target_compile_options(tine_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                       -Wno-sign-conversion -Wnon-virtual-dtor -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of g++ 12 about std::string and std::expected at -O2 (GCC bug 105329 and kin).
  target_compile_options(tine_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(CMAKE_UNITY_BUILD)
  # Where all sources are included by another file, every unnamed namespace is in an included one.
  target_compile_options(tine_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(TINE_SANITIZE)
  target_compile_options(tine_flags INTERFACE -fsanitize=${TINE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(tine_flags INTERFACE -fsanitize=${TINE_SANITIZE})
endif()

function(tine_layer name)
  set(tree "${PROJECT_BINARY_DIR}/layers/${name}")
  file(MAKE_DIRECTORY "${tree}")
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/src/${name}" "${tree}/${name}" SYMBOLIC)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/${name}/*.cc")
  list(FILTER sources EXCLUDE REGEX "/(guardian_)?main\\.cc$")
  add_library(tine_${name} OBJECT ${sources})
  target_compile_features(tine_${name} PUBLIC cxx_std_23)
  set_target_properties(tine_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(tine_${name} PUBLIC "${tree}" "${PROJECT_SOURCE_DIR}/include")
  target_link_libraries(tine_${name} PRIVATE tine_flags)
  # What a child calls for the first time would be looked up by the dynamic linker in every child.
  target_compile_options(tine_${name} PRIVATE -fno-plt)
  foreach(below IN LISTS ARGN)
    target_link_libraries(tine_${name} PUBLIC tine_${below})
  endforeach()
endfunction()

# A vfork child runs in these while its parent's memory is shared: no instrumentation there.
set_source_files_properties(
  "${PROJECT_SOURCE_DIR}/src/child/after_fork.cc" "${PROJECT_SOURCE_DIR}/src/child/spawn.cc"
  PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all;-fno-stack-protector")
