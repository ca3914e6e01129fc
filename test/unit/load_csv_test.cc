#include <filesystem>

#include <gtest/gtest.h>

#include "base/error.h"
#include "load/read/csv_reader.h"
#include "load/read/encoding_guess.h"

namespace weir::load {
namespace {

using namespace std::string_literals;

Input lines(const std::string& text, const std::string& name = "a.csv") { return memory_input(name, text); }

std::string show(CsvReader& reader) {
  std::string out;
  for (const std::string& column : reader.columns()) out += "<" + column + ">";
  while (const auto record = reader.next()) {
    out += "\n" + std::to_string(record->line) + " " +
           (record->file == "a.csv" || record->file == "flood" ? "" : std::string(record->file));
    if (!record->malformed.empty()) {
      out += "! " + std::string(record->malformed);
      continue;
    }
    for (const Cell& cell : record->cells)
      out += cell.kind == Cell::Kind::text ? "[" + std::string(cell.text) + "]" : "-";
  }
  return out;
}

std::string read_csv(std::vector<Input> inputs, const CsvChoice& choice = {}) {
  try {
    CsvReader reader(std::move(inputs), choice, {});
    return show(reader);
  } catch (const Error& error) {
    return error.what();
  }
}
std::string read_csv(const std::string& text, const CsvChoice& choice = {}) {
  return read_csv({lines(text)}, choice);
}

TEST(CsvReader, HeaderAndCells) {
  EXPECT_EQ(read_csv("id,name\n1,\"\"\n2,\n"), "<id><name>\n2 [1][]\n3 [2]-");
  EXPECT_EQ(read_csv("\xEF\xBB\xBFid,name\r\n1,x"), "<id><name>\n2 [1][x]") << "a byte order mark";
  EXPECT_EQ(read_csv("id,name\n"), "<id><name>") << "a header alone";
  EXPECT_EQ(read_csv(""), "") << "nothing";
  EXPECT_EQ(read_csv("\n\n"), "");
  EXPECT_EQ(read_csv("1,2\n3,4\n", {.header = false}), "<column_1><column_2>\n1 [1][2]\n2 [3][4]");
  EXPECT_EQ(read_csv("a,,a,a_2, b ,\n1,2,3,4,5,6\n"),
            "<a><column_2><a_3><a_2><b><column_6>\n2 [1][2][3][4][5][6]");
  EXPECT_EQ(read_csv("a\n\\N\n\"\\N\"\nx\n", {.nulls = std::vector<std::string>{"\\N", "x"}}),
            "<a>\n2 -\n3 [\\N]\n4 -");
  EXPECT_EQ(read_csv("a,b\n,\n", {.nulls = std::vector<std::string>{"NULL"}}), "<a><b>\n2 [][]");
}

TEST(CsvReader, BrokenRecordsSayWhyAndTheNextOneFollows) {
  EXPECT_EQ(read_csv("a,b\n1\n1,2,3\n\"x\ny\"z,2\n3,4\n"),
            "<a><b>\n2 ! 1 field where there are 2 columns\n3 ! 3 fields where there are 2 columns\n"
            "4 ! the quote that opens in line 4, column 1 is closed in line 5, and other text follows; a "
            "quote inside "
            "of quotes is written twice\n6 [3][4]");
  EXPECT_EQ(read_csv("a,b\n1,2\n3,  \"\n5,\"6\n7,8\n"),
            "a.csv: the quote that opens in line 4, column 3 is never closed; the file ends in line 6");
  EXPECT_EQ(read_csv("a,\"b\n1,2\n", {.delimiter = ','}),
            "a.csv: the quote that opens in line 1, column 3 is never closed; the file ends in line 3");
  EXPECT_EQ(read_csv("a,b\n1,\xFF\n2,x\0y\n"s, {.encoding = "utf-8"}), "<a><b>\n2 [1][\xFF]\n3 [2][x\0y]"s)
      << "left to whoever writes them";
  EXPECT_EQ(read_csv("a,\xFFz\n1,2\n", {.encoding = "utf-8"}),
            "a.csv, line 1: the name of column 2 is no text in UTF-8: \\xffz");
}

TEST(CsvReader, SeveralFilesHaveOneHeader) {
  EXPECT_EQ(
      read_csv({lines("", "0"), lines("a;b\n1;2", "1"), lines("a;b\r\n", "2"), lines("\"a\";b\n3;4", "3")}),
      "<a><b>\n2 1[1][2]\n2 3[3][4]");
  EXPECT_EQ(read_csv({lines("a,b\n1,2\n", "1"), lines("a,c\n", "2")}),
            "2: its header is not that of the files before it: column 2 is 'c', not 'b'");
  EXPECT_EQ(read_csv({lines("a,b\n1,2\n", "1"), lines("a\n", "2")}),
            "2: its header is not that of the files before it: column 2 is missing, not 'b'");
  EXPECT_EQ(read_csv({lines("1,2\n", "1"), lines("3\n5,6\n", "2")}, {.header = false}),
            "<column_1><column_2>\n1 1[1][2]\n1 2! 1 field where there are 2 columns\n2 2[5][6]");
}

TEST(CsvReader, EncodingsAreFoundOut) {
  EXPECT_EQ(read_csv("\xFF\xFE" + "a\0;\0b\0\n\0\xE9\0;\0\"\0\r\0\"\0"s), "<a><b>\n2 [é][\r]");
  EXPECT_EQ(read_csv("\0a\0,\0b\0\n\0x\0,\0y"s), "<a><b>\n2 [x][y]");
  EXPECT_EQ(read_csv("a,b\ncaf\xE9,1\n"), "<a><b>\n2 [café][1]");
}

/// Gives bytes without end, of which nobody could hold all.
class Flood final : public ByteSource {
 public:
  Flood(std::string head, char body, std::uint64_t count, std::string tail)
      : head_(std::move(head)), body_(body), left_(count), tail_(std::move(tail)) {}
  std::size_t read(std::span<char> room) override {
    std::string& text = head_.empty() && left_ == 0 ? tail_ : head_;
    std::size_t count = std::min(room.size(), text.size());
    std::copy_n(text.begin(), count, room.begin());
    text.erase(0, count);
    if (count == 0 && left_ > 0) {
      count = std::min<std::uint64_t>(room.size(), left_);
      std::fill_n(room.begin(), count, body_);
      left_ -= count;
    }
    return count;
  }
  [[nodiscard]] ReadProgress progress() const override { return {}; }

 private:
  std::string head_;
  char body_;
  std::uint64_t left_;
  std::string tail_;
};

std::string read_flood(std::string head, char body, std::uint64_t count, std::string tail,
                       const CsvChoice& choice) {
  Input input{.name = "flood", .open = [=](const std::stop_token&) {
                return std::make_unique<Flood>(head, body, count, tail);
              }};
  return read_csv({std::move(input)}, choice);
}

TEST(CsvReader, ALineOfManyMegabytesIsRejectedAndReadingGoesOn) {
  const CsvChoice choice{.delimiter = ',', .header = true};
  const std::string rejected =
      "<a><b>\n2 [1][2]\n3 ! it is longer than 16.0 MiB, the most that a record may have (--max-record)\n";
  EXPECT_EQ(read_flood("a,b\n1,2\n3,", 'x', 100 << 20U, "\n5,6\n", choice), rejected + "4 [5][6]");
  EXPECT_EQ(read_flood("a,b\n1,2\n3,\"", '\n', 20 << 20U, "\"\n5,6\n", choice), rejected + "20971524 [5][6]");
  EXPECT_EQ(read_flood("a,b\n1,2\n", ',', 20 << 20U, "\n5,6\n", choice), rejected + "4 [5][6]");
  EXPECT_EQ(read_flood("a,b\n1,2\n3,\"", 'x', 20 << 20U, "\n5,6\n", choice),
            "flood: the quote that opens in line 3, column 3 is never closed; the file ends in line 5");
}

TEST(CsvReader, TenThousandColumnsAndRecordsLongerThanTheBuffer) {
  std::string row = "1";
  std::string wide = "c1";
  for (int i = 2; i <= 10000; ++i) {
    row += ",\"" + std::to_string(i) + "\"\"\"";
    wide += ",c" + std::to_string(i);
  }
  std::string text = wide + "\n";
  for (int i = 0; i < 100; ++i) text += row + "\n" + std::string(i == 50 ? 3000000 : 1, 'x') + "\n";
  CsvReader reader({lines(text)}, {}, {});
  ASSERT_EQ(reader.columns().size(), 10000U);
  for (int i = 0; i < 100; ++i) {
    const auto good = reader.next();
    ASSERT_TRUE(good && good->malformed.empty()) << i;
    ASSERT_EQ(good->cells[9999].text, "10000\"");
    ASSERT_EQ(good->cells[1].text, "2\"");
    ASSERT_EQ(good->line, 2U * static_cast<unsigned>(i) + 2);
    const auto bad = reader.next();
    ASSERT_TRUE(bad && bad->malformed == "1 field where there are 10000 columns") << i;
    ASSERT_EQ(bad->raw.size(), i == 50 ? 65536U : 1U);
  }
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.progress().bytes, text.size());
  EXPECT_EQ(reader.progress().total, text.size());
}

struct Sniffed {
  const char* text;
  char delimiter;
  bool header;
  char quote = '"';
  bool backslash = false;
};

TEST(CsvSniff, TellsHowAFileIsWritten) {
  const Sniffed table[] = {
      {"a,b\n1,2\n", ',', true},
      {"a;b\n1,5;2,5\n3,5;4,5\n", ';', true},
      {"1,5;2,5\n3,5;4,5\n", ';', false},
      {"a\tb c, d\n1\t2\n", '\t', true},
      {"a|b\n1|2,3\n", '|', true},
      {"2024-01-01,1\n2024-01-02,2\n", ',', false},
      {"name,town\nAda,London\n", ',', true},
      {"country,2019,2020\nAT,1,2\n", ',', false},
      {"only\n1\n2\n", ',', true},
      {"only\n", ',', true},
      {"", ',', true},
      {"a,b\n\"x;y;z\",\"1;2;3\"\n\"x;y;z\",\"1;2;3\"\n", ',', true},
      {"a;b\n\"1,2,3\";\"x\ny,,\"\n", ';', true},
      {"'a','b'\n'x, y','it is'\n", ',', true, '\''},
      {"a,b\n'tis,it's\n", ',', true},
      // An apostrophe that begins a field and one that ends another are no quotes.
      {"id;name\n1;'t Hooft\n2;Bob\n3;x'\n4;Al\n", ';', true},
      {"id;name\n1;'t Hooft\n2;x'\n", ';', true},
      {"a;b;c\n1;'t Hooft;x'\n2;'s Gravenhage;y'\n", ';', true},
      {"a,b\n1,'quoted'\n2,plain\n3,plain\n4,plain\n", ',', true},
      {"a,b\n1,'t Hooft\n2,b,c\n3,x'\n4,y\n", ',', true},
      {"a,b\n1,'one'\n2,'two'\n", ',', true, '\''},
      {"a,b\n1,x\n2,y\n3,'one, two'\n4,z\n", ',', true, '\''},
      {"a,b\n1,'one, two'\n2,'over\nlines'\n3,'z'\n", ',', true, '\''},
      {R"("a","b")"
       "\n"
       R"("x \"y\", z","2")"
       "\n",
       ',', true, '"', true},
      {R"("a","b")"
       "\n"
       R"("C:\dir\","2")"
       "\n",
       ',', true},
      {R"("a","b")"
       "\n"
       R"("C:\dir\""s","2")"
       "\n",
       ',', true},
      {",a,b\n0,1,2\n", ',', true},
  };
  for (const Sniffed& each : table) {
    for (const bool whole : {true, false}) {
      const CsvDialect dialect = sniff_csv(each.text, whole);
      EXPECT_EQ(dialect.delimiter, each.delimiter) << each.text;
      EXPECT_EQ(dialect.header, each.header) << each.text;
      EXPECT_EQ(dialect.quote, each.quote) << each.text;
      EXPECT_EQ(dialect.backslash, each.backslash) << each.text;
    }
  }
}

TEST(CsvSniff, WhatIsSaidIsNotAskedAgain) {
  const CsvChoice choice{
      .delimiter = ':', .quote = '\0', .backslash = false, .header = false, .encoding = "latin1"};
  const CsvDialect dialect = sniff_csv("a,b\n\"1\",2\n", true, choice);
  EXPECT_EQ(dialect.delimiter, ':');
  EXPECT_EQ(dialect.quote, '\0');
  EXPECT_FALSE(dialect.header);
  EXPECT_EQ(dialect.encoding, "latin1");
  EXPECT_THROW(sniff_csv("", true, {.delimiter = '"'}), Error);
  EXPECT_THROW(sniff_csv("", true, {.delimiter = '\n'}), Error);
  EXPECT_THROW(sniff_csv("", true, {.max_record = 0}), Error);
}

struct Encoded {
  std::string bytes;
  const char* name;
  const char* doubt = "";  // a part of what is told
  bool whole = true;
};

TEST(CsvSniff, Encodings) {
  const std::string western = "caf\xE9 \xFC\xDF \xE4\xF6 ";
  std::string mostly;
  for (int i = 0; i < 5; ++i) mostly += western;
  const Encoded table[] = {
      {"", "utf-8"},
      {"plain", "utf-8"},
      {"žluť", "utf-8"},
      {"some zeros\0\0 in it\0"s, "utf-8"},
      // Broken UTF-8 is told, and rejected record by record.
      {"žluť\nand one bad byte \xFF in it", "utf-8", "the byte 0xff in line 2 is not UTF-8: records"},
      {"ž and as many of another: \xE9\xE9\xE9\xE9", "utf-8", "0xe9 in line 1"},
      {"\xEF\xBB\xBF"
       "a mark and \xE9",
       "utf-8", "0xe9 in line 1"},
      // No character of UTF-8, or so few that they are chance.
      {"caf\xE9 au lait", "windows-1252", "read as windows-1252, which is a guess: the byte 0xe9 in line 1"},
      {"a\ncaf\xE9", "windows-1252", "0xe9 in line 2"},
      {"caf\xE9\n", "windows-1252", "0xe9"},
      {mostly + "\xDC\x96", "windows-1252", "0xe9"},
      {mostly + "\xDC\x96 \xDC\x96", "utf-8", "0xe9"},
      // What windows-1252 has no character for is not it.
      {"caf\xE9 \x81", "utf-8", "0xe9"},
      // The end of what is known may be in the midst of a character; the end of the file is not.
      {"cut off in mid-character \xC5", "utf-8", "", false},
      {"cut off in mid-character \xF0\x9F\x98", "utf-8", "", false},
      {"cut off in mid-character \xC5", "windows-1252", "0xc5"},
      {"not cut off \xC5 ", "windows-1252", "0xc5", false},
      {"no beginning \xBF", "windows-1252", "0xbf", false},
      {"\xFF\xFE" + "a\0"s, "utf-16le"},
      {"\xFE\xFF" + "\0a"s, "utf-16be"},
      {"a\0,\0b\0"s, "utf-16le", "read as utf-16le, which is a guess"},
      {"\0a\0,\0b"s, "utf-16be", "read as utf-16be, which is a guess"},
  };
  for (const Encoded& each : table) {
    const EncodingGuess guess = guess_encoding(each.bytes, each.whole);
    EXPECT_EQ(guess.name, each.name) << each.bytes;
    EXPECT_NE(guess.doubt.find(each.doubt), std::string::npos) << each.bytes << ": " << guess.doubt;
    EXPECT_EQ(guess.doubt.empty(), std::string_view(each.doubt).empty()) << guess.doubt;
  }
}

TEST(CsvReader, TellsEachFileWhoseEncodingIsAGuess) {
  std::vector<Input> inputs;
  for (int i = 1; i <= 7; ++i)
    inputs.push_back(memory_input("f" + std::to_string(i), i == 2 ? "a\nž\n" : "a\ncaf\xE9\n"));
  CsvReader reader(std::move(inputs), {}, {});
  EXPECT_EQ(
      reader.notices(),
      std::vector<std::string>{"f1: read as windows-1252, which is a guess: the byte 0xe9 in line 2 is not "
                               "UTF-8 (--encoding says what it is)"});
  std::string texts;
  while (const auto record = reader.next()) texts += std::string(record->cells[0].text) + " ";
  EXPECT_EQ(texts, "café ž café café café café café ");
  ASSERT_EQ(reader.notices().size(), 6U);
  EXPECT_EQ(reader.notices()[1].substr(0, 3), "f3:");
  EXPECT_EQ(reader.notices()[5], "the encoding of 1 more files is a guess");
  std::vector<Input> said;
  said.push_back(memory_input("f", "a\ncaf\xE9\n"));
  EXPECT_TRUE(CsvReader(std::move(said), {.encoding = "latin1"}, {}).notices().empty());
}

}  // namespace
}  // namespace weir::load
