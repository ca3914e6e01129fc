#include "cli/load/options.h"
#include "load/checks.h"

namespace weir::cli {

void read_tap_options(const Arguments& given, LoadRequest& request) {
  using namespace std::chrono_literals;
  load::check_tap(request.source, request.options.target,
                  [&given](std::string_view option) { return given.has(option); });
  load::SingerLoadOptions& tap = request.tap;
  tap.into = request.options.target;
  tap.stream = request.source.stream;
  tap.flatten = request.source.flatten;
  tap.max_message_bytes = request.source.csv.max_record.value_or(tap.max_message_bytes);
  tap.soft_delete = given.has("soft-delete");
  tap.apply_every = given.duration("apply-every", 0s, 24h).value_or(tap.apply_every);
}

}  // namespace weir::cli
