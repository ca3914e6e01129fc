#include <string>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "load/read/csv_structure.h"
#include "support/csv_pieces.h"

namespace weir::load {
namespace {

using test::naive_csv;
using test::NaiveFile;
using test::NaiveRecord;
using test::split_in_pieces;

std::string show(const NaiveFile& file) {
  std::string out;
  for (const NaiveRecord& record : file.records) {
    out += std::to_string(record.line) + (record.kind == NaiveRecord::Kind::stray      ? " stray"
                                          : record.kind == NaiveRecord::Kind::too_long ? " long"
                                                                                       : "");
    for (const auto& cell : record.cells) out += cell ? "[" + *cell + "]" : "-";
    out += "{" + record.raw + "}\n";
  }
  if (file.open_quote_line) out += "open since " + std::to_string(*file.open_quote_line);
  return out;
}

CsvDialect any_dialect() {
  CsvDialect dialect;
  dialect.delimiter = *rc::gen::element(',', ';', '\t', ' ');
  dialect.quote = *rc::gen::element('"', '"', '\'', '\0');
  dialect.backslash = *rc::gen::arbitrary<bool>();
  dialect.comment = *rc::gen::element('\0', '#');
  dialect.trim = *rc::gen::arbitrary<bool>();
  dialect.nulls = *rc::gen::element(std::vector<std::string>{""}, std::vector<std::string>{"a", "\\"},
                                    std::vector<std::string>{});
  dialect.max_record = *rc::gen::element<std::size_t>(5, 40, 200, kMaxCsvRecord);
  return dialect;
}

/// Much of what means something, and stretches that are longer than the blocks that are looked at.
std::string any_text(const CsvDialect& dialect) {
  const std::string marks = std::string("\n\n\r#\\ \t\"',aab") + std::string(2, dialect.delimiter) +
                            std::string(4, dialect.quote == 0 ? '"' : dialect.quote) + '\0' + '\xFF';
  const auto piece = rc::gen::weightedOneOf<std::string>(
      {{12, rc::gen::map(rc::gen::elementOf(marks), [](char c) { return std::string(1, c); })},
       {1, rc::gen::map(rc::gen::inRange<std::size_t>(1, 200),
                        [](std::size_t n) { return std::string(n, 'x'); })},
       {2, rc::gen::just(std::string("\r\n"))}});
  std::string text;
  for (const std::string& each : *rc::gen::container<std::vector<std::string>>(piece)) text += each;
  return text;
}

RC_GTEST_PROP(CsvSplitter, FindsWhatAPlainReadingFindsWhereverThePiecesEnd, ()) {
  for (int round = 0; round < 20; ++round) {
    const CsvDialect dialect = any_dialect();
    const std::string text = any_text(dialect);
    const std::size_t most = *rc::gen::element<std::size_t>(2, 4, 20, 100, 1000);
    std::uint32_t state = *rc::gen::arbitrary<std::uint32_t>();
    const auto next_size = [&] {
      state = state * 1664525U + 1013904223U;
      return 1 + (state >> 8U) % most;
    };
    RC_ASSERT(show(split_in_pieces(text, dialect, next_size)) == show(naive_csv(text, dialect)));
  }
}

RC_GTEST_PROP(CsvStructure, FindsTheSameOnAnyMachine, (const std::array<char, 64>& block)) {
  for (const CsvStructure& structure : {CsvStructure(',', '"', '\\'), CsvStructure('\0', '\xFF', '\x80')}) {
    RC_ASSERT(structure.find(block.data()) == structure.find_portably(block.data()));
  }
}

std::string split(const std::string& text, const CsvDialect& dialect = {}) {
  const std::string by_one = show(split_in_pieces(text, dialect, [] { return 1; }));
  EXPECT_EQ(by_one, show(split_in_pieces(text, dialect, [] { return 1000; })));
  EXPECT_EQ(by_one, show(naive_csv(text, dialect)));
  return by_one;
}

TEST(CsvSplitter, Rfc4180) {
  EXPECT_EQ(split(""), "");
  EXPECT_EQ(split("a,b\n1,2\n"), "1[a][b]{a,b}\n2[1][2]{1,2}\n");
  EXPECT_EQ(split("a,b\r\n1,2"), "1[a][b]{a,b}\n2[1][2]{1,2}\n") << "no end of line at the end";
  EXPECT_EQ(split("a\rb\r"), "1[a]{a}\n2[b]{b}\n");
  EXPECT_EQ(split("\"a,\"\"b\"\"\",c\n"), "1[a,\"b\"][c]{\"a,\"\"b\"\"\",c}\n");
  EXPECT_EQ(split("a,\"\",\n"), "1[a][]-{a,\"\",}\n") << "an empty text and null";
  EXPECT_EQ(split("5\" pipe,b\"\"\n"), "1[5\" pipe][b\"\"]{5\" pipe,b\"\"}\n") << "a quote inside is a quote";
}

TEST(CsvSplitter, CountsLinesAlsoInsideOfQuotesAndEmptyOnes) {
  EXPECT_EQ(split("\"a\r\nb\rc\nd\"\n\n\r\n\nx\n"), "1[a\r\nb\rc\nd]{\"a\r\nb\rc\nd\"}\n8[x]{x}\n");
  EXPECT_EQ(split("a\n\"\n\n"), "1[a]{a}\nopen since 2");
  EXPECT_EQ(split("\"a\nb\"x\nc\n"), "1 stray{\"a\nb\"x}\n3[c]{c}\n");
}

TEST(CsvSplitter, ALongRecordIsPassedOverToItsEnd) {
  CsvDialect dialect;
  dialect.max_record = 10;
  EXPECT_EQ(split("a\n\"1234\n6,\"\"1\n3\",x\nb\n", dialect), "1[a]{a}\n2 long{\"1234\n6,\"\"}\n5[b]{b}\n");
  EXPECT_EQ(split("1234567890\n", dialect), "1[1234567890]{1234567890}\n");
  EXPECT_EQ(split("12345678901\n", dialect), "1 long{1234567890}\n");
}

TEST(CsvSplitter, BackslashesCommentsAndBlanks) {
  CsvDialect dialect;
  dialect.backslash = true;
  EXPECT_EQ(split(R"("a\"b\\","c\n","\\\"",\")", dialect), R"(1[a"b\][c\n][\"][\"]{"a\"b\\","c\n","\\\"",\"})"
                                                           "\n");
  dialect.backslash = false;
  dialect.comment = '#';
  EXPECT_EQ(split("#a \"b\n1#,#2\n#", dialect), "2[1#][#2]{1#,#2}\n");
  dialect.trim = true;
  EXPECT_EQ(split(" a b ,\t\" c \" , \n  \n", dialect), "1[a b][ c ]-{ a b ,\t\" c \" , }\n");
}

}  // namespace
}  // namespace weir::load
