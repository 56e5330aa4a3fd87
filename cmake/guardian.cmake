# SPDX-License-Identifier: MIT
#
# The guardian: a program without libc, whose bytes become part of the library.

add_executable(tine_guardian "${PROJECT_SOURCE_DIR}/src/child/guardian_main.cc")
set_target_properties(tine_guardian PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/guardian" POSITION_INDEPENDENT_CODE OFF)
target_compile_features(tine_guardian PRIVATE cxx_std_23)
target_include_directories(tine_guardian PRIVATE "${PROJECT_SOURCE_DIR}/src")
# Whatever CMAKE_CXX_FLAGS ask of the rest, this has no run-time to lean on.
target_compile_options(tine_guardian PRIVATE -Wall -Wextra -O2 -g0 -ffreestanding -fno-exceptions
  -fno-rtti -fno-stack-protector -fno-asynchronous-unwind-tables -fno-sanitize=all
  -fno-threadsafe-statics -fno-pic -fno-profile-arcs -fno-test-coverage -U_FORTIFY_SOURCE)
target_link_options(tine_guardian PRIVATE -static -nostdlib -fno-sanitize=all -s
  -Wl,--build-id=none)

set(TINE_GUARDIAN_IMAGE "${PROJECT_SOURCE_DIR}/src/child/guardian_image.S")
set_source_files_properties(${TINE_GUARDIAN_IMAGE} PROPERTIES
  COMPILE_DEFINITIONS "TINE_GUARDIAN_FILE=\"${PROJECT_BINARY_DIR}/guardian/tine_guardian\""
  OBJECT_DEPENDS "${PROJECT_BINARY_DIR}/guardian/tine_guardian")
