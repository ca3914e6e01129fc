# cmake --install: the program, libweir.a, its headers, and what find_package(weir) reads.
include(CMakePackageConfigHelpers)

set(weir_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/weir")
install(
  TARGETS weir_api weir_bundle
  EXPORT weir
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT weir NAMESPACE weir:: FILE weir-targets.cmake DESTINATION "${weir_package_dir}")
# Until 1.0 a minor version may change the interface.
write_basic_package_version_file("${CMAKE_BINARY_DIR}/weir-config-version.cmake" COMPATIBILITY SameMinorVersion)
configure_package_config_file("${CMAKE_SOURCE_DIR}/cmake/weir-config.cmake.in" "${CMAKE_BINARY_DIR}/weir-config.cmake"
                              INSTALL_DESTINATION "${weir_package_dir}")
install(FILES "${CMAKE_BINARY_DIR}/weir-config.cmake" "${CMAKE_BINARY_DIR}/weir-config-version.cmake"
        DESTINATION "${weir_package_dir}")
if(TARGET weir)
  install(TARGETS weir RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
