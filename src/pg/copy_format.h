#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pg/value.h"

namespace weir::pg {

/// Builds rows in COPY's text form: tab between fields, `\N` for NULL, a line for each row.
class CopyText {
 public:
  void add(std::string_view field);
  void add_null();
  void end_row();
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
  /// Empties it and keeps the memory.
  void clear() noexcept;

 private:
  void separate();
  std::string bytes_;
  bool in_row_ = false;
};

/// Builds rows in COPY's binary form. The first bytes() begin with the signature; finish() adds the trailer.
class CopyBinary {
 public:
  explicit CopyBinary(std::int16_t columns);
  void begin_row();
  template <class T>
  void add(const T& value) {
    if constexpr (detail::IsOptional<T>::value) {
      if (!value) {
        detail::append_null(bytes_);
        return;
      }
      add(*value);
    } else {
      const std::size_t begin = detail::begin_element(bytes_);
      Codec<T>::encode(bytes_, value);
      detail::end_element(bytes_, begin);
    }
  }
  void finish();
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
  void clear() noexcept { bytes_.clear(); }

 private:
  std::string bytes_;
  std::int16_t columns_;
};

}  // namespace weir::pg
