#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/gen/migration_file.h"
#include "schema/gen/query_file.h"

namespace weir::sqlgen {

/// The generated files. Each is a function of its input alone, so that equal SQL compiles to equal text.
/// The queries of one file.
std::string emit_queries_header(const std::vector<QueryDefinition>& queries);
/// All of them, for the test that compares them with a server: others include the file whose query they run.
std::string emit_all_queries_header(const std::vector<std::string>& files);
std::string emit_all_queries_source(const std::vector<QueryDefinition>& queries);
std::string emit_migrations_source(const std::vector<MigrationFile>& migrations);

/// `text` as C++ string literals, one for each line of it.
std::string cpp_literal(std::string_view text, std::string_view indent);

}  // namespace weir::sqlgen
