// `weir load --singer`: what a tap's runner sees of it.
#include <csignal>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "support/database.h"
#include "support/waiting.h"
#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;
using nlohmann::json;

const std::string kSchema =
    R"({"type":"SCHEMA","stream":"items","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":[]})"
    "\n";
std::string record(int id) {
  return fmt::format(R"({{"type":"RECORD","stream":"items","record":{{"id":{}}}}})"
                     "\n",
                     id);
}
std::string state(const std::string& value) {
  return fmt::format(R"({{"type":"STATE","value":{}}})"
                     "\n",
                     value);
}

/// The lines that are JSON; libpq may have written others.
std::vector<json> documents(std::string_view text) {
  std::vector<json> all;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (text.starts_with('{')) all.push_back(json::parse(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all;
}

class CliLoadTap : public SchemaTest {
 protected:
  [[nodiscard]] WeirSetup setup(const std::string& input = "") const {
    return {.env = {{"DATABASE_URL", url()}}, .folder = folder_.path(), .input = input};
  }
  WeirResult run(Words words, const std::string& input = "") const {
    words.insert(words.begin(), "load");
    return run_weir(words, setup(input));
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.path() / name) << text;
  }
  std::string value(const std::string& sql) {
    return session().execute("SELECT coalesce((" + sql + ")::text, 'null')")[0].get<std::string>(0);
  }
  std::string ids() { return value("SELECT string_agg(id::text, ',' ORDER BY id) FROM items"); }

  ScratchFolder folder_{"tap"};
};

std::string example() { return WEIR_TEST_DIR "/../examples/singer/tap.sh"; }

TEST_F(CliLoadTap, TheExampleGoesOnFromTheStateThatWasCommitted) {
  const Words words{"--singer", "--into", "*", "--pipeline", "shop", "--", "sh", example()};
  const WeirResult first = run(words);
  EXPECT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.out, "{\"done\":10}\n");
  EXPECT_THAT(first.err, AllOf(HasSubstr("orders: upsert of orders, 10 inserted"),
                               HasSubstr("events: append of events, 10 inserted")));
  EXPECT_EQ(value("SELECT count(*) || ' ' || max(sum) || ' ' || min(customer->>'name') FROM orders"),
            "10 100.50 customer 0");

  const WeirResult kept = run({"state", "shop"});
  EXPECT_EQ(kept.out, "{\"done\":10}\n");
  write("state.json", kept.out);
  Words more = words;
  more.insert(more.end(), {"state.json", "15"});
  EXPECT_EQ(run(more).out, "{\"done\":15}\n");
  EXPECT_EQ(value("SELECT count(*) FROM orders") + " " + value("SELECT count(*) FROM events"), "15 15");
  EXPECT_EQ(run({"state", "shop"}).out, "{\"done\":15}\n");
  const WeirResult none = run({"state", "shup"});
  EXPECT_EQ(none.out, "{}\n");
  EXPECT_THAT(none.err, HasSubstr("no state of shup yet"));
}

TEST_F(CliLoadTap, AtEachStateWhereThatIsAsked) {
  const WeirResult result =
      run({"--singer", "--into", "*", "--apply-every", "0s", "--", "sh", example(), "/dev/null", "9"});
  EXPECT_EQ(result.out, "{\"done\":4}\n{\"done\":8}\n{\"done\":9}\n") << result.err;
  EXPECT_EQ(run({"state", "singer *"}).out, "{\"done\":9}\n") << "the pipeline's name by default";
}

TEST_F(CliLoadTap, WithJsonStandardOutputIsStillTheStates) {
  const WeirResult good =
      run({"--singer", "--into", "items", "--json"}, kSchema + record(1) + state(R"({"at": 1})"));
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_EQ(good.out, "{\"at\": 1}\n");
  ASSERT_EQ(documents(good.err).size(), 1U) << good.err;
  const json summary = documents(good.err).front();
  EXPECT_EQ(summary.at("inserted"), 1);
  EXPECT_EQ(summary.at("target"), "items");
  EXPECT_EQ(summary.at("mode"), "append");

  const WeirResult bad = run({"--singer", "--into", "items", "--json", "--apply-every", "0s"},
                             kSchema + record(2) + state(R"({"at":2})") + "oops\n");
  EXPECT_EQ(bad.status, 1);
  EXPECT_EQ(bad.out, "{\"at\":2}\n");
  ASSERT_EQ(documents(bad.err).size(), 2U) << bad.err;
  EXPECT_THAT(documents(bad.err).back().at("error").at("message").get<std::string>(),
              HasSubstr("no Singer message"));
  EXPECT_EQ(ids(), "1,2");
}

TEST_F(CliLoadTap, ATapThatFailsLeavesWhatItStatedAndNothingElse) {
  write("tap.sh", "cat messages; echo 'no more' >&2; exit 3\n");
  write("messages", kSchema + record(1) + state(R"({"at":1})") + record(2));
  const WeirResult failed = run({"--singer", "--into", "items", "--apply-every", "0s", "--", "sh", "tap.sh"});
  EXPECT_EQ(failed.status, 1) << failed.err;
  EXPECT_EQ(failed.out, "{\"at\":1}\n");
  EXPECT_THAT(failed.err, HasSubstr("no more"));
  EXPECT_EQ(ids(), "1");
}

TEST_F(CliLoadTap, KilledBetweenCommitAndEchoTheNextRunNeitherLosesNorDoubles) {
  // More than a pipe holds, and nobody reads it: the state is committed and cannot be told.
  const std::string large = fmt::format(R"({{"done":2,"more":"{}"}})", std::string(300'000, 'x'));
  WeirProgram load({"load", "--singer", "--into", "items", "--pipeline", "p"},
                   setup(kSchema + record(1) + record(2) + state(large)));
  wait_until([&] { return value("SELECT count(*) FROM weir.load_state") == "1"; }, "the commit");
  load.signal(SIGKILL);
  EXPECT_EQ(load.wait_end(), -SIGKILL);
  EXPECT_THAT(load.out(), Not(HasSubstr("\n"))) << "the echo has no end";
  EXPECT_EQ(ids(), "1,2");

  const WeirResult kept = run({"state", "p"});
  const int done = json::parse(kept.out).at("done");
  EXPECT_EQ(done, 2);
  const WeirResult next = run({"--singer", "--into", "items", "--pipeline", "p"},
                              kSchema + record(done + 1) + state(R"({"done":3})"));
  EXPECT_EQ(next.out, "{\"done\":3}\n") << next.err;
  EXPECT_EQ(ids(), "1,2,3");
}

TEST_F(CliLoadTap, AStopBetweenFlushAndStateSaysWhereToGoOn) {
  write("messages", kSchema + record(1) + state(R"({"at":1})") + record(2));
  write("tap.sh", "cat messages; : > began; exec sleep 600\n");
  WeirProgram load(
      {"load", "--singer", "--into", "items", "--pipeline", "p", "--apply-every", "0s", "--", "sh", "tap.sh"},
      setup());
  load.wait_for("{\"at\":1}");
  wait_until([&] { return std::filesystem::exists(folder_.path() / "began"); }, "the tap wrote all");
  load.signal(SIGTERM);
  EXPECT_EQ(load.wait_end(), 130);
  EXPECT_EQ(load.out(), "{\"at\":1}\n");
  EXPECT_THAT(load.err(), AllOf(HasSubstr("interrupted"), HasSubstr("weir load state 'p'")));
  EXPECT_EQ(ids(), "1");
  EXPECT_EQ(run({"state", "p"}).out, "{\"at\":1}\n");
}

// It writes nothing more, and does not end: what is complete is due all the same.
TEST_F(CliLoadTap, ATapThatIsSilentIsAppliedInTime) {
  write("messages", kSchema + record(1) + state(R"({"at":1})"));
  write("tap.sh", "cat messages; exec sleep 600\n");
  {
    WeirProgram command({"load", "--singer", "--into", "items", "--pipeline", "p", "--apply-every", "100ms",
                         "--", "sh", "tap.sh"},
                        setup());
    command.wait_for("{\"at\":1}");
    EXPECT_EQ(ids(), "1");
    command.signal(SIGTERM);
    EXPECT_EQ(command.wait_end(), 130);
  }
  // The same from a pipe that stays open.
  std::filesystem::path pipe = folder_.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  WeirProgram load({"load", pipe, "--singer", "--into", "items", "--pipeline", "p", "--apply-every", "100ms"},
                   setup());
  std::ofstream tap(pipe);
  tap << kSchema << record(2) << state(R"({"at":2})") << std::flush;
  load.wait_for("{\"at\":2}");
  EXPECT_EQ(ids(), "1,2");
  tap << record(3) << state(R"({"at":3})") << std::flush;
  load.wait_for("{\"at\":3}");
  tap.close();
  EXPECT_EQ(load.wait_end(), 0) << load.err();
  EXPECT_EQ(ids(), "1,2,3");
}

TEST_F(CliLoadTap, WarningsAndRefusalsAreOnStandardError) {
  write("messages.jsonl", kSchema + R"({"type":"RECORD","stream":"items","record":{"id":1,"colour":"red"}})");
  const WeirResult warned = run({"messages.jsonl", "--singer", "--into", "items"});
  EXPECT_EQ(warned.status, 0) << warned.err;
  EXPECT_EQ(warned.out, "");
  EXPECT_THAT(warned.err, HasSubstr("keys that its schema has not; they are left out: colour"));
  EXPECT_EQ(ids(), "1");
  EXPECT_EQ(run({"messages.jsonl", "--format", "singer", "--into", "items", "-q"}).err.find("inserted"),
            std::string::npos);

  struct Mistake {
    Words words;
    std::string message;
  };
  for (const Mistake& mistake : std::vector<Mistake>{
           {{"--singer", "--into", "items", "--key", "id"}, "--key has no meaning with --singer"},
           {{"--singer", "--into", "items", "--mode", "append"}, "--mode has no meaning"},
           {{"--singer", "--into", "items", "--dry-run"}, "--dry-run has no meaning"},
           {{"--singer", "--into", "app*"}, "--into is 'app*'"},
           {{"a", "b", "--singer", "--into", "t"}, "a tap is one source"},
           {{"messages.jsonl", "--into", "t", "--soft-delete"}, "--soft-delete is about Singer taps"}}) {
    const WeirResult refused = run(mistake.words);
    EXPECT_EQ(refused.status, 2) << mistake.message;
    EXPECT_THAT(refused.err, HasSubstr(mistake.message));
  }
}

TEST_F(CliLoadTap, AMistakeInTheWordsIsNoState) {
  for (const Words& words : std::vector<Words>{{"--singer", "--json", "--into", "items", "--key", "id"},
                                               {"--singer", "--json", "--nonsense"},
                                               {"--format", "singer", "--json", "-"}}) {
    const WeirResult refused = run(words);
    EXPECT_EQ(refused.status, 2);
    EXPECT_EQ(refused.out, "");
    EXPECT_EQ(documents(refused.err).at(0).at("error").at("code"), 2);
  }
}

// A replay knows the records, not the SCHEMA: base16 "ff" read as text for bytea would be two other bytes.
TEST_F(CliLoadTap, BytesThatATapEncodedAreNotReplayedAsText) {
  write(
      "messages.jsonl",
      R"({"type":"SCHEMA","stream":"items","schema":{"properties":{"id":{"type":"integer"},"b":{"type":"string",)"
      R"("contentEncoding":"base16"}}},"key_properties":["id"]})"
      "\n"
      R"({"type":"RECORD","stream":"items","record":{"id":1,"b":"ff00"}})"
      "\n"
      R"({"type":"RECORD","stream":"items","record":{"id":"x","b":"ff00"}})");
  const WeirResult loaded = run({"messages.jsonl", "--singer", "--into", "items", "--max-rejects", "1"});
  EXPECT_EQ(loaded.status, 0) << loaded.err;
  EXPECT_EQ(value("SELECT encode(b, 'hex') FROM items"), "ff00");
  const WeirResult replay = run({"replay", "1"});
  EXPECT_EQ(replay.status, 5) << replay.out;
  EXPECT_THAT(replay.err, HasSubstr("how that writes the bytes of column b is not kept"));
}

TEST_F(CliLoadTap, AStateWithAZeroByteIsKeptAsItIs) {
  // jsonb holds no \u0000.
  const std::string odd = R"({"at":"a\u0000b","n":12345678901234567890.10,"deep":[{"k\u0000":1}]})";
  const WeirResult done = run({"--singer", "--into", "items", "--stream", "items", "--pipeline", "p"},
                              kSchema + record(1) + state(odd));
  EXPECT_EQ(done.status, 0) << done.err;
  EXPECT_EQ(done.out, odd + "\n");
  EXPECT_EQ(run({"state", "p"}).out, odd + "\n");
  // A run that follows goes on from it, and one without records keeps it.
  const WeirResult again = run({"--singer", "--into", "items", "--stream", "items", "--pipeline", "p"},
                               kSchema + record(2) + state(R"({"at":2})"));
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(run({"state", "p"}).out, "{\"at\":2}\n");
  const WeirResult empty =
      run({"--singer", "--into", "items", "--stream", "items", "--pipeline", "q"}, kSchema + state(odd));
  EXPECT_EQ(empty.status, 0) << empty.err;
  EXPECT_EQ(run({"state", "q"}).out, odd + "\n");
}

}  // namespace
}  // namespace weir::test
