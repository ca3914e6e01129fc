#include <fmt/format.h>

#include "load/write/run.h"
#include "load_shape_fixture.h"

namespace weir::load {
namespace {

class LoadShapeResumeTest : public LoadShapeTest {
 protected:
  static constexpr int kRecords = 3000;

  /// Wider at 600 and at 2900, a column more from 700 on.
  static std::string source() {
    std::string text;
    for (int n = 1; n <= kRecords; ++n) {
      text += fmt::format("{{\"id\": {}, \"v\": {}", n, n == 600 ? "1.5" : n == 2900 ? "\"w\"" : "1");
      text += n >= 700 ? ", \"late\": 1}\n" : "}\n";
    }
    return text;
  }
  static LoadOptions resumable(Contract contract = Contract::evolve) {
    LoadOptions options = LoadShapeTest::options(Mode::refresh, contract);
    options.fingerprint = "the same file";
    return options;
  }
  RunRow last_run() {
    pg::Session session = this->session();
    return list_runs(session, "", 1).at(0);
  }
};

TEST_F(LoadShapeResumeTest, AStopBetweenTwoChangesLosesNothing) {
  std::stop_source stop;
  const Error stopped = error_of([&] {
    load(std::make_unique<InterruptedReader>(json(source()), 2000, [&] { stop.request_stop(); }), resumable(),
         stop.get_token());
  });
  EXPECT_EQ(stopped.exit_code(), ExitCode::interrupted);
  EXPECT_EQ(columns(), "none") << "the target is as it was";
  const RunRow run = last_run();
  EXPECT_EQ(run.state, "staging");
  EXPECT_TRUE(run.resumable);
  EXPECT_FALSE(run.running);
  EXPECT_TRUE(has(run.error, "stopped after")) << run.error;

  const LoadReport report = load(json(source()), resumable());
  EXPECT_GT(report.resumed_from, 700U);
  EXPECT_EQ(report.run, run.id);
  EXPECT_EQ(columns(), "id bigint, v text, late bigint");
  EXPECT_EQ(rows("SELECT count(*), count(late), count(DISTINCT id) FROM t"), "3000|2301|3000");
  EXPECT_EQ(rows("SELECT id, v FROM t WHERE v <> '1' ORDER BY id"), "600|1.5,2900|w");
  EXPECT_EQ(last_run().error, "");
  EXPECT_EQ(stages(), 0);
}

TEST_F(LoadShapeResumeTest, AStageThatIsWiderThanItsChunksIsGoneOnWith) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int, other inet)");
  // The stage has got its column and its type, and then comes a record that ends the load.
  const std::string text =
      "{\"id\": 1, \"v\": 1}\n{\"id\": 2, \"v\": 2}\n{\"id\": 3, \"v\": 3000000000, \"late\": 1}\n"
      "{broken\n{\"id\": 5, \"other\": \"10.0.0.1\"}\n";
  LoadOptions once = resumable();
  once.sample_rows = 1;
  EXPECT_EQ(error_of([&] { load(json(text), once); }).exit_code(), ExitCode::refused);
  EXPECT_EQ(columns(), "id integer, v integer, other inet");
  EXPECT_EQ(rows("SELECT position->>'records' FROM weir.load_chunk"), "2");
  once.spec.rejects.rows = 1;
  const LoadReport report = load(json(text), once);
  EXPECT_EQ(report.resumed_from, 2U);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1||,2|2||,3|3000000000||1,5||10.0.0.1|");
  EXPECT_EQ(columns(), "id integer, v bigint, other inet, late bigint");
}

// The stage has two columns of its own.
TEST_F(LoadShapeResumeTest, ColumnsMayBeCalledAsThoseOfTheStage) {
  for (const Mode mode : {Mode::refresh, Mode::upsert, Mode::append}) {
    run("DROP TABLE IF EXISTS t");
    LoadOptions any = options(mode);
    any.spec.rejects.rows = 1;
    load(csv("id,weir_line,weir_part,weir_line_,ctid\n1,a,1,c,d\n2,e,f,g,h\n"), any);
    EXPECT_EQ(columns(), "id bigint, weir_line text, weir_part text, weir_line_ text, ctid_2 text");
    run("ALTER TABLE t ADD CHECK (weir_part <> 'bad')");
    load(csv("id,weir_line,weir_part\n1,a,1\n3,x,bad\n2,y,f\n"), any);
    EXPECT_EQ(rows("SELECT id, weir_line, weir_part FROM t WHERE weir_line IN ('x', 'y')"), "2|y|f");
    EXPECT_EQ(rows("SELECT line FROM weir.load_reject WHERE reason LIKE '%check%'"), "3");
    EXPECT_EQ(rows("SELECT convert_from(raw, 'UTF8')::jsonb->>'weir_part' FROM weir.load_reject"), "bad");
    run("DELETE FROM weir.load_reject");
  }
}

TEST_F(LoadShapeResumeTest, AlsoThoseThatComeLaterAndWhenItGoesOn) {
  const std::string text =
      "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3, \"weir_part\": \"p\"}\n"
      "{\"id\": 4, \"weir_line\": \"l\", \"weir_part_\": \"q\"}\n{\"id\": 5}\n";
  LoadOptions one = resumable();
  one.sample_rows = 1;
  const auto fail = [] { throw Error(ExitCode::failed, "the source broke off"); };
  EXPECT_EQ(
      error_of([&] { load(std::make_unique<InterruptedReader>(json(text), 4, fail), one); }).exit_code(),
      ExitCode::failed);
  const LoadReport report = load(json(text), one);
  EXPECT_EQ(report.resumed_from, 3U);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|||,2|||,3|p||,4||l|q,5|||");
}

TEST_F(LoadShapeResumeTest, OneLookAheadMakesOneChange) {
  std::string text = "id,a,b\n";
  for (int n = 1; n <= 40; ++n)
    text += fmt::format("{},{},{}\n", n, n == 10 ? "1.5" : "1", n == 13 ? "x" : "1");
  LoadOptions five = resumable();
  five.sample_rows = 5;
  const auto fail = [] { throw Error(ExitCode::failed, "the source broke off"); };
  EXPECT_EQ(
      error_of([&] { load(std::make_unique<InterruptedReader>(csv(text), 30, fail), five); }).exit_code(),
      ExitCode::failed);
  EXPECT_EQ(rows("SELECT position->>'records' FROM weir.load_chunk"), "9");
  EXPECT_EQ(load(csv(text), five).resumed_from, 9U);
  EXPECT_EQ(columns(), "id bigint, a numeric, b text");
}

TEST_F(LoadShapeResumeTest, WhatOthersHaveDoneToTheTableMeanwhileIsSeen) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  const auto at_the_end = [&](const std::string& sql) {
    const std::string text =
        "{\"id\": 1, \"v\": 1}\n{\"id\": 2}\n{\"id\": 3, \"v\": 3000000000, \"late\": 1}\n";
    return load(std::make_unique<InterruptedReader>(json(text), 3, [&] { run(sql); }),
                options(Mode::refresh));
  };
  at_the_end("ALTER TABLE t ADD COLUMN late bigint; ALTER TABLE t ALTER COLUMN v TYPE numeric");
  EXPECT_EQ(columns(), "id integer, v numeric, late bigint") << "nothing is made narrower";
  run("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v int)");
  at_the_end("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v bigint, late bigint)");
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1|,2||,3|3000000000|1")
      << "another, which takes it as it is";
  const Error another =
      error_of([&] { at_the_end("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text, lat bigint)"); });
  EXPECT_EQ(another.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(another.what(), "another table now")) << another.what();
  run("DROP TABLE t");
  const Error narrow = error_of([&] { at_the_end("CREATE TABLE t (id int PRIMARY KEY, v int)"); });
  EXPECT_TRUE(has(narrow.what(), "another table now")) << narrow.what();
  EXPECT_EQ(columns(), "id integer, v integer") << "it is another's: it stays";
}

TEST_F(LoadShapeResumeTest, StagesOfTablesThatNeverCameToBeAreCleared) {
  LoadOptions other = resumable();
  other.target = "other";
  // The second record widens the stage, so that the first is committed; then the source breaks off.
  const std::string text = "id,v\n1,1\n2,x\n3,3\n";
  const auto broken = [&] {
    return std::make_unique<InterruptedReader>(csv(text), 2,
                                               [] { throw Error(ExitCode::failed, "the source broke off"); });
  };
  LoadOptions small = resumable();
  small.sample_rows = other.sample_rows = 1;
  EXPECT_EQ(error_of([&] { load(broken(), small); }).exit_code(), ExitCode::failed);
  EXPECT_EQ(error_of([&] { load(broken(), other); }).exit_code(), ExitCode::failed);
  EXPECT_EQ(stages(), 2) << "each may be gone on with";
  EXPECT_EQ(load(csv(text), small).resumed_from, 1U);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1,2|x,3|3");
  EXPECT_EQ(stages(), 1);
  other.fingerprint = "it was written anew";
  EXPECT_EQ(load(csv(text), other).resumed_from, 0U);
  EXPECT_EQ(stages(), 0) << "what a later load of the table has overtaken is of no use";
}

TEST_F(LoadShapeResumeTest, AnAppendThatNeedsAnotherShapeGoesThroughTheStage) {
  run("CREATE TABLE t (id int, v int); INSERT INTO t VALUES (0, 0)");
  const std::string text = "id,v\n1,1\n2,2\n3,3000000000\n";
  const Error pipe = error_of([&] { load(csv(text), options(Mode::append)); });
  EXPECT_EQ(pipe.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(pipe.remedy(), "--staged")) << pipe.remedy();
  EXPECT_EQ(columns(), "id integer, v integer");
  LoadOptions file = options(Mode::append);
  file.reopen = [&] { return csv(text); };
  const LoadReport report = load(csv(text), file);
  EXPECT_FALSE(report.direct);
  EXPECT_EQ(report.records, 3U);
  EXPECT_EQ(columns(), "id integer, v bigint");
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "0|0,1|1,2|2,3|3000000000");
  const std::string late = "{\"id\": 4}\n{\"id\": 5}\n{\"id\": 6, \"late\": 6}\n";
  file.reopen = [&] { return json(late); };
  EXPECT_FALSE(load(json(late), file).direct);
  EXPECT_EQ(rows("SELECT * FROM t WHERE id > 3 ORDER BY id"), "4||,5||,6||6");
  LoadOptions discard = options(Mode::append, Contract::discard);
  const std::string more = "{\"id\": 7}\n{\"id\": 8}\n{\"id\": 9, \"other\": 6}\n{\"id\": 10}\n";
  EXPECT_TRUE(load(json(more), discard).direct) << "what is left out changes nothing";
  EXPECT_EQ(rows("SELECT id FROM t WHERE id > 6 ORDER BY id"), "7,8,9,10");
}

TEST_F(LoadShapeResumeTest, AnAppendThatWasOnceStagedIsGoneOnWith) {
  run("CREATE TABLE t (id int, v int)");
  const std::string text = "id,v\n1,1\n2,3000000000\n3,1.5\n4,word\n";
  LoadOptions file = options(Mode::append);
  file.fingerprint = "the same file";
  file.sample_rows = 1;
  file.reopen = [&] { return csv(text); };
  EXPECT_EQ(error_of([&] { load(csv(text), file); }).exit_code(), ExitCode::refused);
  EXPECT_EQ(columns(), "id integer, v integer");
  file.spec.rejects.rows = 1;
  const LoadReport report = load(csv(text), file);
  EXPECT_EQ(report.resumed_from, 2U);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1,2|3000000000,3|1.5");
}

TEST_F(LoadShapeResumeTest, EachFileHasItsChunk) {
  run("CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);"
      "CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES parent)");
  std::vector<Input> two;
  two.push_back(memory_input("a.csv", "id,parent\n1,1\n2,1\n"));
  two.push_back(memory_input("b.csv", "id,parent\n3,1\n4,2\n"));
  LoadOptions lenient = options(Mode::refresh);
  lenient.spec.rejects.rows = 1;
  load(std::make_unique<CsvReader>(std::move(two), CsvChoice{.header = true}, std::stop_token()), lenient);
  EXPECT_EQ(rows("SELECT file, line FROM weir.load_reject"), "b.csv|3") << "SQL found it, in the stage";
}

}  // namespace
}  // namespace weir::load
