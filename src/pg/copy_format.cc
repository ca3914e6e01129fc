#include "pg/copy_format.h"

namespace weir::pg {

using namespace std::string_view_literals;

void CopyText::separate() {
  if (in_row_) bytes_.push_back('\t');
  in_row_ = true;
}

void CopyText::add_null() {
  separate();
  bytes_.append("\\N");
}

void CopyText::add(std::string_view field) {
  separate();
  while (!field.empty()) {
    const std::size_t plain = std::min(field.find_first_of("\\\t\n\r"sv), field.size());
    bytes_.append(field.substr(0, plain));
    field.remove_prefix(plain);
    if (field.empty()) return;
    bytes_.push_back('\\');
    switch (field.front()) {
      case '\t': bytes_.push_back('t'); break;
      case '\n': bytes_.push_back('n'); break;
      case '\r': bytes_.push_back('r'); break;
      default: bytes_.push_back('\\'); break;
    }
    field.remove_prefix(1);
  }
}

void CopyText::end_row() {
  bytes_.push_back('\n');
  in_row_ = false;
}

void CopyText::clear() noexcept {
  bytes_.clear();
  in_row_ = false;
}

CopyBinary::CopyBinary(std::int16_t columns)
    : bytes_("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"sv), columns_(columns) {}

void CopyBinary::begin_row() { Codec<std::int16_t>::encode(bytes_, columns_); }
void CopyBinary::finish() { Codec<std::int16_t>::encode(bytes_, -1); }

}  // namespace weir::pg
