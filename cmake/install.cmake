# SPDX-License-Identifier: MIT
#
# What other projects find: find_package(tine) with tine::tine, and pkg-config tine.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tine")

install(TARGETS tine EXPORT tine-targets)
install(DIRECTORY include/tine TYPE INCLUDE)
install(EXPORT tine-targets NAMESPACE tine:: DESTINATION "${package_dir}")
get_target_property(tine_type tine TYPE)
if(TINE_LIBDW_FLAGS AND tine_type STREQUAL "STATIC_LIBRARY")
  set(TINE_USERS_LINK_LIBDW ON)
  set(TINE_PC_LIBDW " ${TINE_LIBDW_FLAGS}")
endif()
configure_package_config_file(cmake/tine-config.cmake.in "${PROJECT_BINARY_DIR}/tine-config.cmake"
                              INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/tine-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/tine-config.cmake"
              "${PROJECT_BINARY_DIR}/tine-config-version.cmake" DESTINATION "${package_dir}")
# Relative to the file itself, so that the installed tree may move.
file(RELATIVE_PATH tine_pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cmake/tine.pc.in "${PROJECT_BINARY_DIR}/tine.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/tine.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
