#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "load/load.h"
#include "load/open_source.h"
#include "load/singer_load.h"

namespace weir::cli {

/// What `weir load` was told. Of `options`, source and fingerprint are known once the source is open.
struct LoadRequest {
  load::SourceChoice source;
  load::LoadOptions options;
  load::SingerLoadOptions tap{};  ///< where `source` is a Singer tap; without what `options` says
};

/// Pure. Throws the usage error for what cannot be meant, with what to write instead.
LoadRequest read_load_options(const Arguments& given);

/// Of a Singer tap: what has no meaning with it throws the usage error. Changes `request`.
void read_tap_options(const Arguments& given, LoadRequest& request);

/// How a file of separated values is written: --delimiter, --quote, --null, .. Throws the usage error.
load::CsvChoice read_csv_options(const Arguments& given);

/// "a,b": names without blanks around them, none empty and none twice.
std::vector<std::string> read_names(std::string_view option, std::string_view text);
/// --max-rejects; none may be where it is not given.
load::RejectLimit read_reject_limit(const Arguments& given);
load::Mode read_mode(std::string_view word);

/// The options themselves, as help shows them.
std::vector<OptionSpec> load_option_specs();
std::vector<OptionSpec> csv_option_specs();

}  // namespace weir::cli
