#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::pipeline {

/// A model's file: the YAML between `/* weir` at its very beginning and the next `*/`, and the SQL behind it.
struct ModelText {
  /// As long as the file up to its end, with blanks for what is not YAML: so places in it are places in the
  /// file. Empty where the file has no such comment.
  std::string front;
  std::size_t sql = 0;    ///< where the SQL begins
  bool unclosed = false;  ///< the comment never ends
};
ModelText split_model(std::string_view text);

/// `ref('x')`, `this()`, each also within {{ }}.
struct SqlReference {
  std::size_t offset;  ///< in the text that was scanned
  std::size_t length;
  std::string name;  ///< empty: this()
};

struct SqlFault {
  std::size_t offset;
  std::string message;
  std::string remedy{};
};

struct SqlScan {
  std::vector<SqlReference> references;  ///< in the order of the text
  std::vector<SqlFault> faults;
  std::size_t begin = 0;  ///< of the one query in it, without comments in front and the semicolon behind
  std::size_t end = 0;
};

/// Looks through one query. Strings, comments and quoted names are left alone.
SqlScan scan_query(std::string_view sql);

/// The query with each reference replaced by what `relation_of` answers.
std::string replace_references(std::string_view sql, const SqlScan& scan,
                               const std::function<std::string(const SqlReference&)>& relation_of);

}  // namespace weir::pipeline
