# SPDX-License-Identifier: MIT
#
# Recorded cases of GNU parallel's behaviour, each a CTest test `cases.NAME`. They are kept beside the
# checkout, not in it; where they are not, there are no such tests.
set(TINE_CASES "${PROJECT_SOURCE_DIR}/../shared" CACHE PATH
    "Where cases/cli-compat.tsv and tools/cli-compat.py are")
set(cases "${TINE_CASES}/cases/cli-compat.tsv")
if(NOT TINE_BUILD_CLI OR NOT EXISTS "${cases}")
  return()
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# The command under its other names, as the cases call it.
set(names_dir "${PROJECT_BINARY_DIR}/tests/names")
file(MAKE_DIRECTORY "${names_dir}")
foreach(name IN ITEMS parallel sem)
  file(CREATE_LINK "${PROJECT_BINARY_DIR}/tine" "${names_dir}/${name}" SYMBOLIC)
endforeach()

# What is promised so far; the rest is not supported yet, and says so.
set(groups input repl quote batch jobs output exit retry)
# By awk: CMake's lists trip over the brackets and semicolons in the scripts.
execute_process(COMMAND awk -F "\t" "NR > 1 && (\",\" $5 \",\") !~ /,perl,/ { print $1 ($5 ~ /timing/ ? \"@timing\" : \"\") }" "${cases}"
                OUTPUT_VARIABLE names OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" names "${names}")
foreach(name IN LISTS names)
  string(REGEX MATCH "@timing$" timing "${name}")
  string(REPLACE "@timing" "" name "${name}")
  string(REGEX REPLACE "\\..*" "" group "${name}")
  if(NOT group IN_LIST groups)
    continue()
  endif()
  add_test(NAME cases.${name} COMMAND Python3::Interpreter "${TINE_CASES}/tools/cli-compat.py"
           "${cases}" "${names_dir}" --skip perl "${name}")
  set_tests_properties(cases.${name} PROPERTIES LABELS cases TIMEOUT 60)
  if(timing)
    # These sleep for tenths of a second and compare orders, as they were recorded.
    set_tests_properties(cases.${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endforeach()
