// JSON of strangers: each record is sound or says where it is not, the walk and simdjson agree about it, and
// where blocks of the input end changes nothing.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "load/read/json_reader.h"

namespace {

using weir::load::Cell;
using weir::load::JsonReader;

class Pieces : public weir::load::ByteSource {
 public:
  Pieces(std::string_view bytes, std::size_t piece) : bytes_(bytes), piece_(piece) {}
  std::size_t read(std::span<char> room) override {
    const std::size_t count = std::min({room.size(), piece_, bytes_.size()});
    std::memcpy(room.data(), bytes_.data(), count);
    bytes_.remove_prefix(count);
    return count;
  }
  weir::load::ReadProgress progress() const override { return {}; }

 private:
  std::string_view bytes_;
  std::size_t piece_;
};

void check_cell(const Cell& cell) {
  if (cell.kind == Cell::Kind::json && weir::load::find_json_break(cell.text)) std::abort();
  if (cell.kind == Cell::Kind::number && !weir::load::is_json_number(cell.text)) std::abort();
}

std::string read_all(std::string_view bytes, std::size_t piece, const weir::load::JsonOptions& options) {
  std::string all;
  JsonReader reader(std::make_unique<Pieces>(bytes, piece), options);
  try {
    while (const auto record = reader.next()) {
      all += std::to_string(record->line) + ':' + std::to_string(record->malformed_column) + ':';
      all += record->malformed;
      // What was read as an object has to be one as a whole.
      if (record->malformed.empty() && record->raw.size() < 60000 && weir::load::find_json_break(record->raw))
        std::abort();
      for (const Cell& cell : record->cells) {
        check_cell(cell);
        all += static_cast<char>('0' + static_cast<int>(cell.kind));
        all += cell.text;
      }
    }
  } catch (const weir::Error& error) {
    all += error.what();
  }
  for (const std::string& column : reader.columns()) all += column + ',';
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  weir::load::JsonOptions options{.flatten = data[0] % 3U, .max_columns = 50};
  options.max_record_bytes = (data[0] & 64U) != 0 ? 20 : 100000;
  if (read_all(bytes, 1 << 20, options) != read_all(bytes, 3, options)) std::abort();
  return 0;
}
