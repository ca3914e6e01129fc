#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pg/session.h"

namespace weir::pg {

/// COPY .. FROM STDIN. Memory stays bounded however slow the server is. The session belongs to it until
/// finish(); destroyed before that, it makes the server throw the data away.
class CopyIn {
 public:
  /// `sql` is the whole COPY statement, in text or binary form as the bytes that follow.
  CopyIn(Session& session, const std::string& sql);
  ~CopyIn();
  CopyIn(const CopyIn&) = delete;
  CopyIn& operator=(const CopyIn&) = delete;

  /// Any piece of the stream; borders of pieces need not be borders of rows.
  void write(std::string_view bytes);
  /// Answers the number of rows. A row that the server refused throws here at the latest.
  std::int64_t finish();

 private:
  Session* session_;
  bool open_ = true;
};

/// COPY .. TO STDOUT. Destroyed before its end it closes the session: what the server would still send is of
/// no use.
class CopyOut {
 public:
  CopyOut(Session& session, const std::string& sql);
  ~CopyOut();
  CopyOut(const CopyOut&) = delete;
  CopyOut& operator=(const CopyOut&) = delete;

  /// The next piece, a row in text form; it lives until the next call. Nothing at the end.
  std::optional<std::string_view> next();
  /// Rows in all; known at the end.
  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }

 private:
  Session* session_;
  bool open_ = true;
  std::int64_t rows_ = 0;
  Wire::CopyChunk chunk_;
};

}  // namespace weir::pg
