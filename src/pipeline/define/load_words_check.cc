#include "pipeline/define/load_words_check.h"

#include <algorithm>

#include <fmt/format.h>
#include <iconv.h>

#include "base/error.h"
#include "pipeline/define/placeholder.h"

namespace weir::pipeline {
namespace {

using Kind = Placeholder::Kind;

constexpr std::string_view kDatabase = "postgresql://somewhere";

bool is_secret(const Placeholder& one) { return one.kind == Kind::env || one.kind == Kind::file; }

bool is_database(std::string_view source) {
  return source.starts_with("postgresql://") || source.starts_with("postgres://");
}

/// With another word for each placeholder: no two values are known to be the same.
std::string filled(std::string_view text) {
  std::string out;
  int nth = 0;
  for (const Placeholder& one : split_placeholders(text))
    out += one.kind == Kind::literal ? one.name : fmt::format("x{}", ++nth);
  return out;
}

/// As it may be once it runs. A connection is a database, and so is what is secret; what begins with any
/// other value may be one, and is where only one has what the load asks of it.
std::string source_of(const LoadBody& body, const ProjectScope& project) {
  if (project.connections.contains(body.source)) return std::string(kDatabase);
  const auto pieces = split_placeholders(body.source);
  if (pieces.empty() || pieces.front().kind == Kind::literal) return filled(body.source);
  const auto says = [&](const char* option) { return body.options.contains(option); };
  const bool asks = !says("format") && (says("query") || says("table"));
  return asks || is_secret(pieces.front()) ? std::string(kDatabase) : filled(body.source);
}

struct Translated {
  std::string text;
  std::string first;  ///< the first key in it
};

/// Options as the keys that they are here: --max-rejects 5 is max_rejects: 5.
Translated in_keys(std::string_view text, bool with_values) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz-";
  Translated out;
  while (!text.empty()) {
    const std::size_t at = std::min(text.find("--"), text.size());
    out.text += text.substr(0, at);
    text.remove_prefix(at);
    if (text.empty()) break;
    text.remove_prefix(2);
    const std::size_t end = std::min(text.find_first_not_of(kLetters), text.size());
    std::string key(text.substr(0, end));
    std::replace(key.begin(), key.end(), '-', '_');
    text.remove_prefix(end);
    if (out.first.empty()) out.first = key;
    const bool has_value = with_values && text.size() > 1 && text[0] == ' ' && text[1] != '(';
    out.text += has_value ? key + ":" : "'" + key + "'";
  }
  return out;
}

bool is_encoding(const std::string& name) {
  const iconv_t known = ::iconv_open("UTF-8", name.c_str());
  // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how iconv says it
  if (known == reinterpret_cast<iconv_t>(-1)) return false;
  ::iconv_close(known);
  return true;
}

void check_secret(Reading& reading, Fields& fields, const LoadBody& body, const std::string& source) {
  const auto pieces = split_placeholders(body.source);
  if (std::none_of(pieces.begin(), pieces.end(), is_secret) || is_database(source)) return;
  reading.error(fields.place("source"), "a secret can stand in the URL of a database alone",
                "The names of files are stored with what is rejected: write it out, or take ${param:NAME}.");
}

}  // namespace

void check_load_words(Reading& reading, Fields& fields, const LoadBody& body, const ProjectScope& project) {
  LoadBody like = body;
  like.source = source_of(body, project);
  check_secret(reading, fields, body, like.source);
  for (std::string& word : like.command) word = filled(word);
  for (auto& [option, value] : like.options) value = filled(value);
  if (const auto encoding = like.options.find("encoding");
      encoding != like.options.end() && !is_encoding(encoding->second)) {
    reading.error(fields.place("encoding"),
                  fmt::format("'encoding' is {}, which is none", in_quotes(encoding->second)),
                  "`iconv --list` prints those that are.");
  }
  if (!project.check_load) return;
  try {
    project.check_load(like);
  } catch (const Error& error) {
    const Translated message = in_keys(error.what(), false);
    const bool named = fields.known(message.first);
    reading.error(named ? fields.place(message.first) : fields.node(), message.text,
                  in_keys(error.remedy(), true).text);
  }
}

}  // namespace weir::pipeline
