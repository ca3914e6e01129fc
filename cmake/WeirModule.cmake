# weir_module(NAME DEPENDS module... [PUBLIC_LIBS target...] [PRIVATE_LIBS target...] [EXCLUDE regex...])
#
# Makes the static library weir_NAME from every .cc and .h under the calling folder. DEPENDS is the whole truth about
# what the module may include: tools/check-imports reads it from the CMakeLists.txt, and a module that is not below
# this one in src/CMakeLists.txt is refused here.
function(weir_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS;PUBLIC_LIBS;PRIVATE_LIBS;EXCLUDE")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "weir_module(${name}): unknown words: ${arg_UNPARSED_ARGUMENTS}")
  endif()

  set(depends weir_api)
  foreach(below IN LISTS arg_DEPENDS)
    if(NOT TARGET weir_${below})
      message(FATAL_ERROR "module ${name} depends on ${below}, which is not below it in src/CMakeLists.txt")
    endif()
    list(APPEND depends weir_${below})
  endforeach()

  # Several people add files at the same time: the build looks for new ones by itself.
  foreach(kind IN ITEMS cc h)
    file(GLOB_RECURSE files RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" CONFIGURE_DEPENDS "*.${kind}")
    foreach(regex IN LISTS arg_EXCLUDE)
      list(FILTER files EXCLUDE REGEX "^${regex}")
    endforeach()
    list(TRANSFORM files PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/" OUTPUT_VARIABLE files_${kind})
  endforeach()

  # A module without sources is a header-only one (or one that nobody has begun).
  if(files_cc)
    add_library(weir_${name} STATIC ${files_cc})
    target_link_libraries(
      weir_${name}
      PUBLIC ${depends} ${arg_PUBLIC_LIBS}
      PRIVATE weir_options ${arg_PRIVATE_LIBS})
    set(scope PUBLIC)
  else()
    add_library(weir_${name} INTERFACE)
    target_link_libraries(weir_${name} INTERFACE ${depends} ${arg_PUBLIC_LIBS})
    set(scope INTERFACE)
  endif()
  target_include_directories(weir_${name} ${scope} "${CMAKE_SOURCE_DIR}/src")
  target_sources(weir_${name} ${scope} FILE_SET HEADERS BASE_DIRS "${CMAKE_SOURCE_DIR}/src" FILES ${files_h})
endfunction()
