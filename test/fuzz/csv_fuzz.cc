// CSV of any content, in any dialect, in pieces of any size: what the splitter finds is what a plain reading
// finds.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "support/csv_pieces.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const unsigned how = data[0];
  weir::load::CsvDialect dialect;
  dialect.delimiter = ",;\t|"[how & 3U];
  dialect.quote = (how & 4U) != 0 ? '\'' : '"';
  if ((how & 8U) != 0) dialect.quote = (how & 4U) != 0 ? '\0' : '"';
  dialect.backslash = (how & 16U) != 0;
  dialect.comment = (how & 32U) != 0 ? '#' : '\0';
  dialect.trim = (how & 64U) != 0;
  dialect.max_record = (how & 128U) != 0 ? 7 : weir::load::kMaxCsvRecord;
  std::uint32_t state = data[1];
  const std::size_t most = data[2] + 1U;
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);
  const auto next_size = [&] {
    state = state * 1664525U + 1013904223U;
    return 1 + (state >> 8U) % most;
  };
  if (weir::test::split_in_pieces(text, dialect, next_size) != weir::test::naive_csv(text, dialect))
    std::abort();
  if (weir::load::sniff_csv(text, (how & 1U) != 0).max_record != weir::load::kMaxCsvRecord) std::abort();
  return 0;
}
