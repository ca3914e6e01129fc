// Connection strings of strangers. What holds for each: it is refused without its password, or it means the
// same after a trip through url(), and is shown without its password.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "pg/connect_error.h"
#include "pg/conninfo.h"

namespace {

using weir::pg::Conninfo;

// Of letters that need no escape in any form, and unlikely to be found by chance.
constexpr std::string_view kPassword = "S3cretT0kenOfTheFuzzer";

void require(bool holds, std::string_view what, std::string_view text) {
  if (holds) return;
  fmt::print(stderr, "{}: {}\n", what, text);
  std::abort();
}

void try_one(const std::string& text, bool holds_password) {
  const auto must_not_show = [&](std::string_view message) {
    if (holds_password)
      require(message.find(kPassword) == std::string_view::npos, "shows its password", message);
  };
  must_not_show(weir::pg::redact_password(text));
  try {
    const Conninfo conninfo = Conninfo::parse(text);
    const std::string url = conninfo.url();
    const Conninfo again = Conninfo::parse(url);
    for (const auto& [key, value] : conninfo.options()) {
      const bool same = again.get(key).value_or("") == value;
      require(same, "its URL means something else", url);
    }
    if (conninfo.get("password") != kPassword) return;
    must_not_show(conninfo.display());
    must_not_show(weir::pg::explain_connect_failure("failed: " + url, conninfo).message);
  } catch (const weir::Error& error) {
    must_not_show(error.what());
    must_not_show(error.remedy());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  // The fuzzer learns the password from our look for it.
  if (text.find('\0') != std::string::npos || text.find(kPassword) != std::string::npos) return 0;
  const std::string password(kPassword);
  try_one(text, false);
  try_one("postgresql://eve:" + password + "@" + text, true);
  try_one("postgresql://db/x?password=" + password + "&" + text, true);
  try_one("password=" + password + " " + text, true);
  try_one("password = '" + password + "' " + text, true);
  return 0;
}
