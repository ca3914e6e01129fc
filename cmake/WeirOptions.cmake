# weir_options: how our own code is compiled. Linked privately by every target of ours.
add_library(weir_options INTERFACE)
target_compile_options(
  weir_options
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wconversion
            -Wsign-conversion
            -Wshadow
            -Wnon-virtual-dtor
            -Wold-style-cast
            -Woverloaded-virtual
            # {.argv = ..} leaves the other members as the type declares them, which is what option structs are for.
            -Wno-missing-field-initializers
            $<$<BOOL:${WEIR_WERROR}>:-Werror>
            # g++ 12 at -O2 finds null pointers in the standard library's own stream buffers, so this one is clang's.
            $<$<CXX_COMPILER_ID:Clang>:-Wnull-dereference>
            $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)

# g++ 12 with a sanitizer sees uninitialised members in the standard library's std::function and std::regex.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  target_compile_options(weir_options INTERFACE -Wno-maybe-uninitialized)
endif()

# Changes the layout of types, so it holds for every translation unit. Code may use #if or #ifdef.
if(WEIR_DEBUG_CHECKS)
  add_compile_definitions(WEIR_DEBUG_CHECKS=1)
endif()
