# Faster tools where the machine has them, silence where it has not.
find_program(WEIR_CCACHE ccache)
if(WEIR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${WEIR_CCACHE}")
endif()

# mold and gcc's LTO plugin do not agree in Debian 12's versions, so LTO keeps the default linker.
find_program(WEIR_MOLD mold)
if(WEIR_MOLD AND NOT WEIR_LTO)
  include(CheckLinkerFlag)
  check_linker_flag(CXX -fuse-ld=mold WEIR_LINKS_WITH_MOLD)
  if(WEIR_LINKS_WITH_MOLD)
    add_link_options(-fuse-ld=mold)
  endif()
endif()

if(WEIR_LTO)
  include(CheckIPOSupported)
  check_ipo_supported()
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()
