#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "pipeline/define/position.h"

namespace weir::pipeline {

/// One statement of a script, without the semicolon.
struct SqlStatement {
  std::size_t begin = 0;  ///< the first byte that is neither blank nor comment
  std::size_t size = 0;
  int line = 1;  ///< of `begin`
};

/// SQL that psql would run, cut where psql cuts it: quotes, E'', dollar quotes, nested comments, parentheses
/// and BEGIN ATOMIC bodies keep their semicolons. What is for psql alone, or would end the transaction that
/// the statements share with the success of their task, is refused.
class SqlScript {
 public:
  class Fault final : public Error {
   public:
    Fault(const std::string& place, int line, std::string message, std::string remedy);
    [[nodiscard]] int line() const noexcept { return line_; }
    /// Without its place.
    [[nodiscard]] const std::string& message() const noexcept { return message_; }

   private:
    int line_;
    std::string message_;
  };

  /// Throws Fault, Error(definition) that names file and line. `file` is for messages; empty: inline.
  SqlScript(std::string text, std::string file);

  [[nodiscard]] const std::vector<SqlStatement>& statements() const noexcept { return statements_; }
  [[nodiscard]] std::string text_of(const SqlStatement& statement) const {
    return text_.substr(statement.begin, statement.size);
  }
  /// Where the character number `character`, from 1 as the server counts, of the statement is.
  [[nodiscard]] Position position_of(const SqlStatement& statement, int character) const;
  /// "pipelines/shop/load.sql:12"; "line 12 of the SQL" where it has no file.
  [[nodiscard]] std::string place(int line) const;

 private:
  std::string text_;
  std::string file_;
  std::vector<SqlStatement> statements_;
};

}  // namespace weir::pipeline
