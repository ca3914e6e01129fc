# Run at build time, when the commit has changed.
set(COMMIT "")
if(GIT)
  # The top of the checkout must be ours: a tree unpacked inside another repository has no commit of its own.
  execute_process(
    COMMAND "${GIT}" -c safe.directory=* rev-parse --show-prefix --short=12 HEAD
    WORKING_DIRECTORY "${SOURCE_DIR}"
    RESULT_VARIABLE status
    OUTPUT_VARIABLE output
    ERROR_QUIET)
  if(status EQUAL 0 AND output MATCHES "^\n([0-9a-f]+)\n$")
    set(COMMIT "${CMAKE_MATCH_1}")
  endif()
endif()
configure_file("${SOURCE_DIR}/cmake/version.cc.in" "${OUT}" @ONLY)
