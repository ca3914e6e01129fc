#include <fmt/format.h>

#include "load/value/date_time.h"
#include "load/value/encode.h"
#include "load/value/field.h"
#include "load/value/text_check.h"

namespace weir::load {
namespace {

bool refuse_form(const Cell& cell, Base base, std::string& reason) {
  const std::string_view form = base == Base::date   ? "2024-01-31"
                                : base == Base::time ? "23:59:59.5"
                                                     : "2024-01-31 23:59:59.5+01:00";
  reason = fmt::format("{} is no {} in a form like {}", quoted(cell.text), base_name(base), form);
  return false;
}

template <class Integer>
bool put(const Cell& cell, Base base, std::optional<Integer> value, std::string& out, std::string& reason) {
  if (!value) return refuse_range(cell, base_name(base), reason);
  put_integer(out, *value);
  return true;
}

}  // namespace

bool encode_time(const Cell& cell, Base base, std::int32_t zone_offset, std::string& out, std::string& reason,
                 bool& rounded) {
  // A number may be seconds, milliseconds or days since anything: nobody but the user knows.
  if (cell.kind != Cell::Kind::text) return refuse_form(cell, base, reason);
  DateTime value;
  switch (parse_date_time(trim_spaces(cell.text), value)) {
    case TimeFault::none: break;
    case TimeFault::form: return refuse_form(cell, base, reason);
    case TimeFault::range: return refuse_range(cell, base_name(base), reason);
  }
  // A time of day out of a date with a time would lose the date silently.
  const bool wants_time = base == Base::time;
  if (value.has_date == wants_time) return refuse_form(cell, base, reason);
  rounded = rounded || (value.is_rounded && base != Base::date);
  if (wants_time) return put(cell, base, to_time(value), out, reason);
  if (base == Base::date) return put(cell, base, to_date(value), out, reason);
  if (base == Base::timestamp) return put(cell, base, to_timestamp(value), out, reason);
  return put(cell, base, to_timestamptz(value, zone_offset), out, reason);
}

}  // namespace weir::load
