#include "schema/gen/emit.h"

#include <algorithm>

#include <fmt/format.h>

namespace weir::sqlgen {
namespace {

constexpr std::string_view kBanner =
    "// Written by weir-sqlgen from src/schema; edit the .sql files there.\n";

/// A backslash at its end would draw the next line into the comment.
std::string_view doc_line(std::string_view line) noexcept {
  const std::size_t end = line.find_last_not_of("\\ \t");
  return line.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

std::string join(const std::vector<Field>& fields, std::string_view separator, auto&& spell) {
  std::string text;
  for (const Field& field : fields) text.append(text.empty() ? "" : separator).append(spell(field));
  return text;
}

std::string emit_oids(std::string_view name, const std::vector<Field>& fields) {
  return fmt::format("  static constexpr std::array<pg::Oid, {}> {}{{{}}};\n", fields.size(), name,
                     join(fields, ", ", [](const Field& field) { return field.type.oid(); }));
}

std::string emit_row(const QueryDefinition& query) {
  if (query.columns.empty()) {
    return "  struct Row {};\n"
           "  static Row decode(const pg::Row& /*row*/) { return {}; }\n";
  }
  int column = 0;
  return fmt::format(
      "  struct Row {{\n"
      "{}"
      "  }};\n"
      "  static Row decode(const pg::Row& row) {{\n"
      "    return {{{}}};\n"
      "  }}\n",
      join(query.columns, "",
           [](const Field& field) { return fmt::format("    {} {};\n", field.type.cpp(), field.name); }),
      join(query.columns, ",\n            ",
           [&](const Field& field) { return fmt::format("row.get<{}>({})", field.type.cpp(), column++); }));
}

std::string emit_query(const QueryDefinition& query) {
  const auto name = [](const Field& field) { return field.name; };
  const auto type = [](const Field& field) { return field.type.cpp(); };
  std::string text;
  for (const std::string& line : query.doc) text += fmt::format("/// {}\n", doc_line(line));
  const std::string arguments = join(query.parameters, ", ", name);
  text += fmt::format("/// `session.run<sql::{}>({})`\n", query.struct_name(), arguments);
  text += fmt::format("struct {} {{\n", query.struct_name());
  text += fmt::format("  using Arguments = std::tuple<{}>;\n", join(query.parameters, ", ", type));
  text += emit_row(query);
  text += emit_oids("kParameters", query.parameters);
  text += emit_oids("kColumns", query.columns);
  // The name leads the text: pg_stat_activity then says which query a session of ours is in.
  text += fmt::format("  static constexpr pg::Query kQuery{{\"{}\",\n{},\n      kParameters, kColumns}};\n",
                      query.name, cpp_literal("/* weir:" + query.name + " */ " + query.sql, "      "));
  text += "};\n\n";
  return text;
}

}  // namespace

std::string cpp_literal(std::string_view text, std::string_view indent) {
  std::string out;
  out.append(indent).push_back('"');
  char before = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      out += "\\n";
      if (i + 1 < text.size()) out.append("\"\n").append(indent).append("\"");
    } else if (c == '"' || c == '\\' || (c == '?' && before == '?')) {  // ?? may begin a trigraph
      out.append("\\").push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\{:03o}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
    before = c;
  }
  out += '"';
  return out;
}

std::string emit_queries_header(const std::vector<QueryDefinition>& queries) {
  std::string text(kBanner);
  text +=
      "#pragma once\n\n"
      "#include <array>\n#include <cstdint>\n#include <optional>\n#include <span>\n#include <string_view>\n"
      "#include <tuple>\n#include <vector>\n\n"
      "#include \"base/clock.h\"\n#include \"pg/query.h\"\n#include \"pg/row.h\"\n\n"
      "namespace weir::sql {\n\n";
  for (const QueryDefinition& query : queries) text += emit_query(query);
  text += "}  // namespace weir::sql\n";
  return text;
}

std::string emit_all_queries_header(const std::vector<std::string>& files) {
  std::string text(kBanner);
  text += "#pragma once\n\n#include <span>\n\n";
  for (const std::string& file : files) text += fmt::format("#include \"schema/queries/{}.h\"\n", file);
  text +=
      "\nnamespace weir::sql {\n\n"
      "std::span<const pg::Query* const> all_queries() noexcept;\n\n"
      "}  // namespace weir::sql\n";
  return text;
}

std::string emit_all_queries_source(const std::vector<QueryDefinition>& queries) {
  std::string text(kBanner);
  text += "#include \"schema/all_queries.h\"\n\nnamespace weir::sql {\n\n";
  text += "std::span<const pg::Query* const> all_queries() noexcept {\n";
  text += fmt::format("  static constexpr std::array<const pg::Query*, {}> kAll{{", queries.size());
  for (const QueryDefinition& query : queries)
    text += fmt::format("\n      &{}::kQuery,", query.struct_name());
  text += "};\n  return kAll;\n}\n\n}  // namespace weir::sql\n";
  return text;
}

std::string emit_migrations_source(const std::vector<MigrationFile>& migrations) {
  std::string text(kBanner);
  text += "#include \"schema/migration.h\"\n\n#include <array>\n\nnamespace weir::schema {\n\n";
  text += "std::span<const Migration> known_migrations() noexcept {\n";
  text += fmt::format("  static constexpr std::array<Migration, {}> kAll{{{{", migrations.size());
  for (const MigrationFile& migration : migrations) {
    text += fmt::format("\n      {{{}, \"{}\", \"{}\",\n{}}},", migration.number, migration.name,
                        migration.checksum, cpp_literal(migration.sql, "       "));
  }
  text += "\n  }};\n  return kAll;\n}\n\n}  // namespace weir::schema\n";
  return text;
}

}  // namespace weir::sqlgen
