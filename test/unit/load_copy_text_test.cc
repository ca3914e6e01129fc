#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "load/read/copy_text.h"
#include "pg/copy_format.h"

namespace weir::load {
namespace {

using Field = std::optional<std::string>;

std::vector<Field> read(std::string_view line) {
  CopyTextRow row;
  row.read(line);
  std::vector<Field> out;
  for (const auto& field : row.fields()) out.push_back(field ? Field(std::string(*field)) : Field());
  return out;
}

TEST(LoadCopyText, FieldsNullsAndEscapes) {
  EXPECT_EQ(read("a\tb\n"), (std::vector<Field>{"a", "b"}));
  EXPECT_EQ(read("\\N\t\t\\\\N\n"), (std::vector<Field>{std::nullopt, "", "\\N"}));
  EXPECT_EQ(read("\\b\\f\\n\\r\\t\\v\\\\"), (std::vector<Field>{"\b\f\n\r\t\v\\"}));
  EXPECT_EQ(read("\\x41\\x4\\101\\7\\q\\xg"), (std::vector<Field>{"A\x04"
                                                                  "A\aqxg"}));
  EXPECT_EQ(read("\n"), (std::vector<Field>{""}));
  EXPECT_EQ(read("\\"), (std::vector<Field>{"\\"}));
}

RC_GTEST_PROP(LoadCopyText, WhatIsWrittenIsReadAgain,
              (const std::vector<std::pair<bool, std::string>>& given)) {
  RC_PRE(!given.empty());
  pg::CopyText text;
  std::vector<Field> fields;
  for (const auto& [is_null, field] : given) {
    fields.push_back(is_null ? Field() : Field(field));
    if (is_null) {
      text.add_null();
    } else {
      text.add(field);
    }
  }
  text.end_row();
  RC_ASSERT(read(text.bytes()) == fields);
}

}  // namespace
}  // namespace weir::load
