#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::sqlgen {

struct MigrationFile {
  int number = 0;
  std::string name;      ///< foundation, of 001_foundation.sql
  std::string checksum;  ///< 16 hexadecimal digits
  std::string sql;
};

/// Reads number and name from `NNN_name.sql` and checks the script. Throws SyntaxError; its offset is 0 for
/// what is wrong with the name.
MigrationFile parse_migration(std::string_view file_name, std::string text);

/// Nothing, or why these files are not 1, 2, 3, .. in this order.
std::string numbering_fault(const std::vector<MigrationFile>& files);

}  // namespace weir::sqlgen
