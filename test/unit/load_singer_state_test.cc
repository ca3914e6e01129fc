// Which of a tap's states may be told when, and that records wait on disk as they are.
#include <gtest/gtest.h>

#include "load/read/record_spool.h"
#include "load/read/singer_reader.h"
#include "support/load_bytes.h"

namespace weir::load {
namespace {

using test::bytes_of;

SingerSchema some_schema() {
  return *parse_singer_schema(R"({"properties":{"id":{"type":"integer"}}})", "", {});
}

class SingerStates : public ::testing::Test {
 protected:
  SingerStates() {
    flow_.on_schema("a", some_schema());
    flow_.on_schema("b", some_schema());
  }
  std::uint64_t record(const std::string& stream) { return flow_.on_record(stream, std::nullopt).position; }
  SingerFlow flow_;
};

using Echo = std::optional<std::string>;

TEST_F(SingerStates, AreEchoedOnlyAfterWhatCameBeforeThem) {
  record("a");
  const auto a = record("a");
  flow_.on_state("{\"a\":2}");
  const auto later = record("a");
  EXPECT_EQ(flow_.ready_state(), Echo());
  EXPECT_EQ(flow_.committed("a", a - 1), Echo());
  EXPECT_EQ(flow_.state_after("a", a), Echo("{\"a\":2}"));
  EXPECT_EQ(flow_.committed("a", a), Echo("{\"a\":2}"));
  EXPECT_EQ(flow_.committed("a", later), Echo()) << "once is enough";
}

TEST_F(SingerStates, WaitForEveryStream) {
  const auto a = record("a");
  const auto b = record("b");
  flow_.on_state("1");
  EXPECT_EQ(flow_.committed("b", b), Echo());
  EXPECT_EQ(flow_.committed("a", a), Echo("1"));
}

TEST_F(SingerStates, SeveralAroundFlushes) {
  const auto first = record("a");
  flow_.on_state("1");
  flow_.on_state("2");
  const auto second = record("a");
  flow_.on_state("3");
  const auto third = record("b");
  flow_.on_state("4");
  EXPECT_EQ(flow_.committed("a", first), Echo("2")) << "the last of those that need the same";
  EXPECT_EQ(flow_.committed("b", third), Echo());
  EXPECT_EQ(flow_.state_after("a", second), Echo("4"));
  EXPECT_EQ(flow_.committed("a", second), Echo("4")) << "all that was waiting, the last of them";
  flow_.on_state("5");
  EXPECT_EQ(flow_.ready_state(), Echo("5")) << "nothing stands before it";
}

TEST_F(SingerStates, EmptyOnesAreNeverEchoed) {
  for (const char* empty : {"{}", " { } ", "null", ""}) flow_.on_state(empty);
  EXPECT_EQ(flow_.ready_state(), Echo());
  record("a");
  flow_.on_state("{\"x\":{}}");
  flow_.on_state("{}");
  EXPECT_EQ(flow_.committed("a", 1), Echo("{\"x\":{}}"));
}

TEST_F(SingerStates, RowsThatAreHeldHoldTheStateBack) {
  const auto one = flow_.on_record("a", 5).position;
  flow_.on_state("1");
  EXPECT_FALSE(flow_.may_apply("a"));
  const auto other = record("b");
  EXPECT_EQ(flow_.committed("b", other), Echo());
  const auto apply = flow_.on_version("a", 5);
  ASSERT_TRUE(apply);
  EXPECT_TRUE(apply->replace);
  EXPECT_EQ(flow_.committed("a", one), Echo("1"));
}

TEST_F(SingerStates, ThousandsOfThemStayFew) {
  std::uint64_t last = 0;
  for (int i = 1; i <= 10000; ++i) {
    last = record("a");
    flow_.on_state(std::to_string(i));
  }
  // A few were dropped; whichever is echoed is not ahead of what is committed, and in the end it is the last.
  for (const std::uint64_t upto : {std::uint64_t{3000}, std::uint64_t{9990}}) {
    const Echo echo = flow_.committed("a", upto);
    if (echo) {
      EXPECT_LE(std::stoull(*echo), upto);
    }
  }
  EXPECT_EQ(flow_.committed("a", last), Echo("10000"));
}

TEST(LoadSingerState, ComeThroughTheReader) {
  const std::string text =
      R"({"type":"STATE","value":{"start":1}})"
      "\n"
      R"({"type":"SCHEMA","stream":"items","schema":{"properties":{"id":{"type":"integer"}}}})"
      "\n"
      R"({"type":"RECORD","stream":"items","record":{"id":1}})"
      "\n"
      R"({"type":"STATE","value":{"at":1}})"
      "\n"
      R"({"type":"RECORD","stream":"items","record":{"id":2}})";
  SingerReader reader(bytes_of(text), {});
  std::optional<SingerEvent> event = reader.next();
  EXPECT_EQ(event->kind, SingerEvent::Kind::state);
  EXPECT_EQ(reader.ready_state(), Echo("{\"start\":1}"));
  while ((event = reader.next())) {
    if (event->kind == SingerEvent::Kind::apply) {
      EXPECT_EQ(reader.committed(event->apply.stream, 1), Echo("{\"at\":1}"));
      EXPECT_EQ(reader.committed(event->apply.stream, event->apply.position), Echo());
    }
  }
}

Record record_of(const std::vector<Cell>& cells, std::uint64_t line) {
  return {.cells = cells, .line = line, .file = "f", .raw = "{}"};
}

TEST(LoadRecordSpool, GivesWhatItGot) {
  RecordSpool spool;
  spool.use({"a", "b"});
  const std::string bytes("\0\n\xFF", 3);
  const std::vector<Cell> cells{{.kind = Cell::Kind::bytes, .text = bytes}, {.kind = Cell::Kind::absent}};
  spool.add(record_of(cells, 7));
  spool.add({.line = 8, .raw = "raw", .malformed = "why", .malformed_column = 3});
  EXPECT_EQ(spool.records(), 2U);
  for (int again = 0; again < 2; ++again) {
    const auto reader = spool.read();
    const auto first = reader->next();
    ASSERT_TRUE(first);
    EXPECT_EQ(first->line, 7U);
    EXPECT_EQ(first->file, "f");
    EXPECT_EQ(first->raw, "{}");
    EXPECT_EQ(first->cells[0].kind, Cell::Kind::bytes);
    EXPECT_EQ(first->cells[0].text, bytes);
    EXPECT_EQ(first->cells[1].kind, Cell::Kind::absent);
    const auto second = reader->next();
    EXPECT_EQ(second->malformed, "why");
    EXPECT_EQ(second->malformed_column, 3U);
    EXPECT_EQ(second->raw, "raw");
    EXPECT_FALSE(reader->next());
    EXPECT_EQ(reader->progress().bytes, spool.bytes());
  }
}

TEST(LoadRecordSpool, ColumnsMayBecomeMoreAndChangeTheirOrder) {
  RecordSpool spool;
  spool.use({"a", "b"});
  const std::vector<Cell> ab{{.kind = Cell::Kind::text, .text = "a1"},
                             {.kind = Cell::Kind::text, .text = "b1"}};
  spool.add(record_of(ab, 1));
  spool.use({"c", "a"});
  const std::vector<Cell> ca{{.kind = Cell::Kind::text, .text = "c2"},
                             {.kind = Cell::Kind::text, .text = "a2"}};
  spool.add(record_of(ca, 2));
  spool.use_also("d");
  EXPECT_EQ(spool.columns(), (std::vector<std::string>{"a", "b", "c", "d"}));
  const auto reader = spool.read();
  const auto texts = [&] {
    std::string all;
    const auto record = reader->next();
    for (const Cell& cell : record->cells) all += cell.is_null() ? " -" : " " + std::string(cell.text);
    return all;
  };
  EXPECT_EQ(texts(), " a1 b1 - -");
  EXPECT_EQ(texts(), " a2 - c2 -");
}

TEST(LoadRecordSpool, IsEmptyAfterClearAndFillsAgain) {
  RecordSpool spool;
  spool.use({"a", "b"});
  const std::vector<Cell> one{{.kind = Cell::Kind::number, .text = "1"}};
  spool.add(record_of(one, 1));
  spool.clear();
  EXPECT_EQ(spool.bytes(), 0U);
  EXPECT_FALSE(spool.read()->next());
  spool.use({"b"});
  EXPECT_EQ(spool.columns(), std::vector<std::string>{"b"});
  spool.add(record_of(one, 2));
  EXPECT_EQ(spool.read()->next()->line, 2U);
}

}  // namespace
}  // namespace weir::load
