# SPDX-License-Identifier: MIT
# Tests that run the built command.
target_compile_definitions(cli_tests PRIVATE TINE_COMMAND="$<TARGET_FILE:tine_command_line>")
add_dependencies(cli_tests tine_command_line)
