#include "cli/failure.h"

#include <new>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace weir::cli {
namespace {

/// Server messages may have several lines, and file names any byte.
std::string lines(std::string_view text, std::string_view indent) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (!out.empty()) out += "\n" + std::string(indent);
    out += printable(line);
  }
  return out;
}

}  // namespace

Failure failure_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    return {error.exit_code(), error.what(), error.remedy()};
  } catch (const std::bad_alloc&) {
    return {ExitCode::failed, "out of memory", "Free some memory and run the command again."};
  } catch (const std::exception& error) {
    return {ExitCode::failed, std::string("unexpected failure: ") + error.what(),
            "This is a defect of Weir: please report it with the output of weir version."};
  } catch (...) {
    return {ExitCode::failed, "unexpected failure",
            "This is a defect of Weir: please report it with the output of weir version."};
  }
}

std::string to_text(const Failure& failure, const Paint& paint) {
  constexpr std::string_view kIndent = "  ";
  std::string text = paint(Color::red, "weir:") + " " + lines(failure.message, kIndent) + "\n";
  if (!failure.remedy.empty()) text += std::string(kIndent) + lines(failure.remedy, kIndent) + "\n";
  return text;
}

std::string to_json(const Failure& failure) {
  const nlohmann::ordered_json document{
      {"error",
       {{"code", static_cast<int>(failure.code)}, {"message", failure.message}, {"remedy", failure.remedy}}}};
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace weir::cli
