// Records that a load rejected, from the command line: shown, and loaded again.

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli_load_fixture.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Words = std::vector<std::string>;
using nlohmann::json;

class CliLoadRejects : public CliLoadFixture {};

TEST_F(CliLoadRejects, RejectsAreKeptShownAndReplayed) {
  execute("CREATE TABLE parent (id int4 PRIMARY KEY)");
  execute("INSERT INTO parent VALUES (1)");
  execute("CREATE TABLE t (id int4 PRIMARY KEY, parent int4 REFERENCES parent, note text)");
  write("t.csv", "id,parent,note\n1,1,\"a, b\"\n2,2,late\nx,1,bad\n");
  const Words words{"t.csv", "--into", "t", "--mode", "upsert", "--key", "id", "--schema", "quarantine"};
  const WeirResult refused = run(words);
  EXPECT_EQ(refused.status, 5) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("--max-rejects"));
  EXPECT_EQ(value("SELECT count(*)::text FROM t"), "0");

  Words allowed = words;
  allowed.insert(allowed.end(), {"--max-rejects", "50%"});
  EXPECT_EQ(run(allowed).status, 5) << "two of three are more than a half";
  allowed.back() = "2";
  const json loaded = document(allowed);
  EXPECT_EQ(loaded.at("rejected"), 2);
  EXPECT_EQ(loaded.at("inserted"), 1);
  const std::string number = loaded.at("run");

  const WeirResult lines = run({"rejects", number, "--ndjson"});
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2) << lines.out;
  EXPECT_THAT(run({"rejects", number}).out, AllOf(HasSubstr("x,1,bad"), HasSubstr("parent")));
  EXPECT_THAT(run({"rejects", number, "--csv"}).out,
              AllOf(StartsWith("line,file,column,sqlstate,reason,raw,raw_base64\n"), HasSubstr("\"x,1,bad")));
  EXPECT_THAT(run({"show", number}).out, AllOf(HasSubstr("applied"), HasSubstr("for instance")));
  EXPECT_EQ(document({"show", number}).at("reasons").size(), 2U);

  execute("INSERT INTO parent VALUES (2)");
  EXPECT_EQ(run({"replay", number}).status, 5) << "one is bad as ever";
  const json replayed = document({"replay", number, "--max-rejects", "1"});
  EXPECT_EQ(replayed.at("inserted"), 1);
  EXPECT_EQ(replayed.at("rejected"), 1);
  EXPECT_EQ(value("SELECT note FROM t WHERE id = 2"), "late");
  const WeirResult again = run({"replay", number, "--max-rejects", "1"});
  EXPECT_EQ(again.status, 5);
  EXPECT_THAT(again.err, AllOf(HasSubstr("was replayed already"), HasSubstr("--force")));
}

TEST_F(CliLoadRejects, BrokenJsonIsNamedByItsFileAndNotReplayedAsSomethingElse) {
  write("t.ndjson", "{\"id\": 1}\n{\"id\": 2\n");
  const std::string number =
      document({"t.ndjson", "--into", "t", "--key", "id", "--max-rejects", "1"}).at("run");
  const WeirResult replay = run({"replay", number});
  EXPECT_EQ(replay.status, 1);
  EXPECT_THAT(replay.err,
              HasSubstr("nothing of load " + number + " can be replayed: line 2: it is no JSON object"));
  write("t.json", "[{\"id\": 1},\n{\"id\":");
  const WeirResult open = run({"t.json", "--into", "t", "--key", "id"});
  EXPECT_EQ(open.status, 1);
  EXPECT_THAT(
      open.err,
      HasSubstr(
          "t.json: the JSON array has no end: the input breaks off in the element that begins at line 2"));
}

TEST_F(CliLoadRejects, AReplayOfALoadWithoutRejectsSaysThat) {
  write("t.csv", "id\n1\n");
  const std::string first = document({"t.csv", "--into", "t", "--key", "id"}).at("run");
  document({"t.csv", "--into", "t", "--key", "id"});
  const WeirResult replay = run({"replay", first});
  EXPECT_EQ(replay.status, 0) << replay.err;
  EXPECT_THAT(replay.err, HasSubstr("load " + first + " rejected nothing"));
}

}  // namespace
}  // namespace weir::test
