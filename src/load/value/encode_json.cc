#include <fmt/format.h>

#include "base/json_text.h"
#include "load/value/encode.h"
#include "load/value/field.h"
#include "load/value/json_break.h"
#include "load/value/text_check.h"

namespace weir::load {
namespace {

// What jsonb can count in an array, an object or a string.
constexpr std::size_t kLargestJsonb = 0x0FFFFFFF;

bool check_json(std::string_view text, Base base, std::string& reason) {
  const auto fault = find_json_break(text, base == Base::jsonb ? kJsonbRules : kJsonRules);
  if (!fault) return true;
  reason = fmt::format("{} is no {}: {} (at {})", quoted(text), base_name(base), fault->reason, fault->at);
  return false;
}

}  // namespace

bool encode_json(const Cell& cell, Base base, bool text_is_json, std::string& out, std::string& reason) {
  if (cell.kind == Cell::Kind::bytes) return refuse(cell, base, reason);
  if (const auto fault = find_text_fault(cell.text)) {
    reason = text_fault_reason(cell.text, *fault);
    return false;
  }
  if (cell.text.size() > (base == Base::jsonb ? kLargestJsonb : kLargestField)) {
    reason = fmt::format("{} bytes, more than {} can have", cell.text.size(), base_name(base));
    return false;
  }
  const bool is_string = cell.kind == Cell::Kind::text && !text_is_json;
  if (!is_string && !check_json(cell.text, base, reason)) return false;
  const std::size_t begin = begin_field(out);
  if (base == Base::jsonb) out.push_back('\x01');  // the version of its binary form
  if (is_string) {
    append_json_string(out, cell.text);
  } else {
    out.append(cell.text);
  }
  end_field(out, begin);
  return true;
}

}  // namespace weir::load
