// Any cell into any type: it is refused with a short reason and leaves nothing behind, or it is one field
// with the length that its head says. What inference makes of a cell holds that cell.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "load/value/inference.h"
#include "load/value/names.h"
#include "load/value/row_encoder.h"
#include "load/value/text_check.h"

namespace {

using namespace weir::load;

void require(bool holds, std::string_view what, std::string_view text) {
  if (holds) return;
  fmt::print(stderr, "{}: {}\n", what, weir::printable(text));
  std::abort();
}

std::size_t read_length(std::string_view bytes) {
  std::size_t length = 0;
  for (const char c : bytes.substr(0, 4)) length = length << 8U | static_cast<unsigned char>(c);
  return length;
}

void try_type(const ColumnType& type, const Cell& cell, EncodeOptions options) {
  constexpr std::string_view kBefore = "before";
  std::string out(kBefore);
  const auto misfit = RowEncoder({type}, options).add({&cell, 1}, {}, out);
  if (misfit) {
    require(out == kBefore, "a refused row left something", cell.text);
    require(!misfit->reason.empty() && misfit->reason.size() < 500, "a reason of that length",
            misfit->reason);
    require(!weir::find_invalid_utf8(misfit->reason), "a reason that is no UTF-8", misfit->reason);
    return;
  }
  const std::string_view field = std::string_view(out).substr(kBefore.size() + 2);
  require(field.size() >= 4 && read_length(field) == field.size() - 4, "a field of another length",
          cell.text);
}

void try_inference(const Cell& cell) {
  Inference inference;
  inference.observe({&cell, 1});
  const auto types = inference.types();
  std::string out;
  const auto misfit = RowEncoder(types).add({&cell, 1}, {}, out);
  require(!misfit || find_text_fault(cell.text), "inferred and refused", cell.text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto kind = static_cast<Cell::Kind>(2 + data[0] % 5);
  const Cell cell{.kind = kind, .text = text};
  const EncodeOptions options{.zone_offset = (data[1] - 128) * 400, .text_is_json = data[1] % 2 == 0};
  for (int base = 0; base <= static_cast<int>(Base::other); ++base) {
    try_type(type_of(static_cast<Base>(base)), cell, options);
  }
  for (const ColumnType& type :
       {varchar_of(3), bpchar_of(5), numeric_of({5, 2}), numeric_of({3, -2}), numeric_of({3, 6})}) {
    try_type(type, cell, options);
  }
  try_inference(cell);
  const std::vector<std::string> header{std::string(text), std::string(text.substr(0, text.size() / 2)),
                                        std::string(text)};
  for (const std::string& name :
       column_names(header, data[0] % 2 == 0 ? NameStyle::snake : NameStyle::as_written)) {
    require(!name.empty() && name.size() <= 63 && !find_text_fault(name), "no name", name);
  }
  return 0;
}
