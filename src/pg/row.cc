#include "pg/row.h"

namespace weir::pg {

void Row::check_column(int column) const {
  if (column >= 0 && column < result_->columns() && row_ >= 0 && row_ < result_->rows()) return;
  raise({.kind = ErrorKind::decode,
         .message = "no column " + std::to_string(column) + " of row " + std::to_string(row_) +
                    " in a result of " + std::to_string(result_->rows()) + " rows and " +
                    std::to_string(result_->columns()) + " columns",
         .query = std::string(result_->query())});
}

void Row::fail(int column, std::string_view reason) const {
  raise({.kind = ErrorKind::decode,
         .message = "column \"" + std::string(result_->column_name(column)) + "\" " + std::string(reason),
         .query = std::string(result_->query())});
}

}  // namespace weir::pg
