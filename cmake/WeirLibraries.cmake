# Everything comes from the system's packages; nothing is downloaded.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tl-expected REQUIRED)

# pkg-config, because FindPostgreSQL also wants the server's headers.
find_package(PkgConfig REQUIRED)
pkg_check_modules(libpq REQUIRED IMPORTED_TARGET GLOBAL libpq>=14)

# What loads read.
find_package(simdjson REQUIRED)
find_package(ZLIB REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CURL REQUIRED)
# Debian's libcctz-dev brings neither a CMake nor a pkg-config file.
find_library(WEIR_CCTZ cctz REQUIRED)
find_path(WEIR_CCTZ_INCLUDE cctz/time_zone.h REQUIRED)
add_library(cctz::cctz UNKNOWN IMPORTED)
set_target_properties(cctz::cctz PROPERTIES IMPORTED_LOCATION "${WEIR_CCTZ}"
                                            INTERFACE_INCLUDE_DIRECTORIES "${WEIR_CCTZ_INCLUDE}")
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET GLOBAL libzstd)
