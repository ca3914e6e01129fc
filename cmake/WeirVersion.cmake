# weir_api: the public headers.
file(GLOB_RECURSE weir_public_headers CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/include/weir/*.h")
add_library(weir_api INTERFACE)
target_sources(weir_api INTERFACE FILE_SET HEADERS BASE_DIRS "${CMAKE_SOURCE_DIR}/include" FILES ${weir_public_headers})

# weir_add_version(TARGET): the generated source that says which version and commit this is.
function(weir_add_version target)
  set(source "${CMAKE_BINARY_DIR}/generated/base/version.cc")
  set(depends "${CMAKE_SOURCE_DIR}/cmake/version.cc.in" "${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake")
  find_program(WEIR_GIT git)
  if(WEIR_GIT)
    # safe.directory: root may build a checkout that belongs to somebody else.
    execute_process(
      COMMAND "${WEIR_GIT}" -c safe.directory=* rev-parse --path-format=absolute --git-path logs/HEAD
      WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
      OUTPUT_VARIABLE reflog
      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    # This file changes with every commit and checkout and at no other time, so the commit is always right and a
    # build without changes runs no git at all.
    if(reflog AND EXISTS "${reflog}")
      list(APPEND depends "${reflog}")
    endif()
  endif()
  add_custom_command(
    OUTPUT "${source}"
    COMMAND "${CMAKE_COMMAND}" "-DOUT=${source}" "-DSOURCE_DIR=${CMAKE_SOURCE_DIR}" "-DVERSION=${PROJECT_VERSION}"
            "-DGIT=${WEIR_GIT}" -P "${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake"
    DEPENDS ${depends}
    COMMENT "Writing version.cc"
    VERBATIM)
  target_sources(${target} PRIVATE "${source}")
endfunction()
