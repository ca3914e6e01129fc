// What the program says to words: help, suggestions, exit code 2. In a pipe and on a terminal.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <weir/version.h>

#include "weir_program.h"

namespace weir::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

TEST(CliWords, HelpShowsAllCommands) {
  const WeirResult result = run_weir({"help"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, R"(Weir, a concurrency-safe ELT engine on PostgreSQL

Usage: weir COMMAND [OPTION]...

Commands
  weir init            make a small project that runs as it is
  weir check           look through the definitions of a project, and say all that is wrong
  weir plan            show what a deployment would change
  weir deploy          make the project's pipelines the ones that run
  weir up              start everything for this project and run until Ctrl-C
  weir run             start a run of a pipeline
  weir backfill        make the runs of a range of time
  weir runs            list runs of pipelines, or the tasks of one
  weir explain         say why a run or a task is where it is
  weir logs            show what the tasks of a run said
  weir alerts          list who was told of runs that failed, and whether it arrived
  weir retry           begin again what failed in a run, or a task and what comes after it
  weir clear           have a task, or a whole run, done once more
  weir cancel          end a run
  weir mark            say what became of a task
  weir pause           start no more runs of a pipeline, except by hand
  weir resume          let a paused pipeline go on
  weir next            show when a schedule runs next, in local time and UTC
  weir db start        start the project's private PostgreSQL and leave it running
  weir db stop         stop the project's private PostgreSQL
  weir db status       show the database: state, version, schema, how to connect
  weir db url          print the database's URL, for other programs
  weir db psql         open psql on the database
  weir db migrate      bring the database's schema up to this program
  weir load            load files, queries or a tap into a table while its readers keep reading
  weir load history    show the loads there were: of a table, or all
  weir load show       show all about a load: rows by action, WAL, locks, why records were rejected
  weir load state      show the state of a pipeline that was committed with its rows
  weir load rejects    show the records that a load rejected, with line, column and reason
  weir load replay     load the records again that a load rejected, once what they lacked is there
  weir worker          work on jobs, or on the project's pipelines, until Ctrl-C
  weir job enqueue     add a job to a queue, or one for each line of standard input
  weir job list        show jobs: those that run, wait, are due later, are dead or done
  weir job show        show all about a job: where it is, why it waits, payload, error, result
  weir job cancel      end jobs that wait, and ask those that run to stop
  weir job retry       make jobs run now that are due later, or start again that are dead
  weir job dead        show the dead letters: jobs that were given up, with their errors
  weir job replay      start dead letters again: some, those of a queue, or all
  weir job drop        drop dead letters for good: some, those of a queue, or all
  weir job stats       show how many jobs each queue has, and how fast they are done
  weir queue list      show queues and their settings
  weir queue pause     let no job of these queues be begun
  weir queue resume    go on with queues that were paused
  weir queue set       change the settings of a queue
  weir consume         work through the rows of an existing table, with many workers and no row twice
  weir stream create   make a table that anybody may add events to, and groups consume
  weir stream adopt    make a stream of a table that is there, without shutting anybody out
  weir stream list     show streams: size, partitions, groups, how far the slowest group is behind
  weir stream show     show all about a stream: settings, partitions, what retention takes next, groups
  weir stream lag      show how far groups are behind, in events and in time
  weir stream peek     look at a stream's newest events, or at what a group gets next
  weir stream consume  consume a stream for a group, with SQL or a command, until Ctrl-C
  weir stream pause    let a group take no more events
  weir stream resume   go on with a group that was paused
  weir stream seek     set a group to a time: what is before it from now on
  weir stream replay   give a group events of some time once more, or those that it gave up
  weir stream dead     show the events that a group gave up, with their errors
  weir stream set      change the settings of a stream, or of a group
  weir stream keep     make and drop a stream's partitions now, and say why others stay
  weir stream rebase   take a stream over that a dump, or an upgrade, brought to this server
  weir stream drop     drop a stream with its table, or one of its groups
  weir feed create     make a feed: where batches are submitted, with sinks that each have every batch
  weir feed list       show feeds with their settings and sinks
  weir feed set        change the settings of a feed
  weir feed sink       add a sink to a feed
  weir feed pause      let a sink's consumers begin no more batches
  weir feed resume     go on with a sink that was paused
  weir feed drop       drop a feed with its sinks, and all that is before them
  weir batch submit    submit a batch to a feed, or one for each line of a file
  weir batch list      show batches and their state at each sink
  weir batch show      show all about a batch: its payload, its state at each sink, all attempts with their errors
  weir batch retry     start a run again that has failed, from its first batch on that did not succeed
  weir batch fail      end a run by hand: what is left of it has failed
  weir batch lag       show what is before each sink, and for how long
  weir group consume   apply a feed's batches for a sink, group by group in order, until Ctrl-C
  weir group status    show the groups that consumers have right now, and what they do with them
  weir top             watch queues and workers in the terminal
  weir demo workers    many workers on one table of events: without locks, with SKIP LOCKED, with Weir
  weir demo readers    dashboards read a table while it is replaced: by TRUNCATE, by DELETE, by Weir
  weir demo scheduler  lost updates, scans of history, a starving pool; and Weir with the same tasks
  weir demo groups     the wedge of a shared connection; and Weir with the same groups
  weir doctor          check the database and the way to it, and say what to do
  weir version         show the version of this program
  weir help            show all commands, or the options and examples of one

Options of every command
  -C, --project DIR       the project folder (default: the current folder)
      --database-url URL  the database to use, instead of $DATABASE_URL or the private server
      --json              results as JSON on standard output, errors too
      --log human|json    form of the log on standard error (default: human)
      --log-level LEVEL   debug, info, warn, error or off (default: info)
  -v, --verbose           the same as --log-level debug
  -q, --quiet             no progress and no notes; errors are still told
      --color WHEN        auto, always or never (default: auto; NO_COLOR counts)
  -h, --help              help on the command

More about one command: weir help COMMAND
)");
}

TEST(CliWords, HelpIsTheSameByAnyName) {
  EXPECT_EQ(run_weir({"--help"}).out, run_weir({"help"}).out);
  EXPECT_EQ(run_weir({"-h"}).out, run_weir({"help"}).out);
  EXPECT_EQ(run_weir({"db", "--help"}).out, run_weir({"help", "db"}).out);
  EXPECT_EQ(run_weir({"db", "start", "-h"}).out, run_weir({"help", "db", "start"}).out);
}

TEST(CliWords, HelpIsADocumentWhereJsonIsWanted) {
  for (const Words& words : {Words{"help", "db"}, {"db", "--help"}, {"help", "db", "start"}, {"-h"}}) {
    Words with_json = words;
    with_json.insert(with_json.begin(), "--json");
    with_json.insert(with_json.begin(), "--color=always");
    const auto document = nlohmann::json::parse(run_weir(with_json).out);
    EXPECT_EQ(document.at("help"), run_weir(words).out);
  }
}

TEST(CliWords, PsqlHasNoJson) {
  const WeirResult result = run_weir({"db", "psql", "--json"});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(nlohmann::json::parse(result.out).at("error").at("code"), 2);
  EXPECT_THAT(result.out, HasSubstr("weir db psql -- --csv"));
}

TEST(CliWords, EveryCommandHasHelpWithExamples) {
  for (const std::string path :
       {"init",         "check",        "load",         "load history",   "load show",   "load state",
        "load rejects", "load replay",  "up",           "db start",       "db stop",     "db status",
        "db url",       "db psql",      "db migrate",   "worker",         "job enqueue", "job list",
        "job show",     "job cancel",   "job retry",    "job dead",       "job replay",  "job stats",
        "queue list",   "job drop",     "queue pause",  "queue resume",   "queue set",   "consume",
        "top",          "demo workers", "demo readers", "demo scheduler", "demo groups", "doctor",
        "version",      "help"}) {
    const WeirResult result = run_weir({"help", path});
    EXPECT_EQ(result.status, 0) << path;
    EXPECT_THAT(result.out, StartsWith("weir " + path + ": "));
    EXPECT_THAT(result.out, HasSubstr("Usage: weir " + path));
    EXPECT_THAT(result.out, HasSubstr("\nExamples\n")) << path;
  }
}

TEST(CliWords, VersionIsOneLineOrOneDocument) {
  const WeirResult plain = run_weir({"version"});
  EXPECT_THAT(plain.out, StartsWith("weir " + std::string(version()) + " (commit "));
  EXPECT_EQ(plain.out.back(), '\n');
  const auto document = nlohmann::json::parse(run_weir({"version", "--json"}).out);
  EXPECT_EQ(document.at("version"), version());
  EXPECT_EQ(document.at("commit"), commit());
  EXPECT_TRUE(document.contains("compiler"));
  EXPECT_GE(document.at("schema").get<int>(), 1);
}

struct WordsMistake {
  Words words;
  std::string message;
  std::string remedy;
};

TEST(CliWords, MistakesAreToldWithWhatWasProbablyMeant) {
  const std::vector<WordsMistake> mistakes{
      {{},
       "no command was given",
       "One of: init, check, plan, deploy, up, run, backfill, runs, explain, logs, alerts, retry, clear, "
       "cancel, "
       "mark, "
       "pause, resume, next, db, load, worker, job, queue, consume, stream, feed, batch, group, top, demo, "
       "doctor, version, "
       "help. See: "
       "weir help"},
      {{"statsu"}, "unknown command 'statsu'", "All commands: weir help"},
      {{"docter"}, "unknown command 'docter'", "Did you mean 'doctor'? All commands: weir help"},
      {{"db"}, "db needs a command", "One of: start, stop, status, url, psql, migrate. See: weir help db"},
      {{"db", "sttaus"}, "unknown command 'db sttaus'", "Did you mean 'status'? All commands: weir help db"},
      {{"db", "start", "--prot", "1"},
       "unknown option '--prot' for db start",
       "Did you mean '--port'? See: weir help db start"},
      {{"version", "--jsn"},
       "unknown option '--jsn' for version",
       "Did you mean '--json'? See: weir help version"},
      {{"-x"}, "unknown option '-x'", "See: weir help"},
      {{"version", "-qx"}, "unknown option '-x' for version", "See: weir help version"},
      {{"version", "now"}, "unexpected argument 'now' for version", "See: weir help version"},
      {{"version", "--", "now"}, "version takes nothing behind '--'", "See: weir help version"},
      {{"version", "--json=yes"}, "option '--json' takes no value", "See: weir help version"},
      {{"db", "start", "--port"}, "option '--port' needs a value: N", "See: weir help db start"},
      {{"db", "start", "--port", "--json"}, "", ""},
      {{"db", "start", "--port", "70000"}, "--port is '70000', which is not a number from 1 to 65535", ""},
      {{"version", "--log", "jsno"},
       "--log is 'jsno', which is none of: human, json",
       "Did you mean 'json'? See: weir help version"},
      {{"help", "db", "startt"},
       "there is no command 'db startt'",
       "Did you mean 'weir help db start'? All commands: weir help"},
      {{"do\tctor\x1b"}, "unknown command 'do\\x09ctor\\x1b'", ""},
      {{"-C", "/nowhere", "db", "status"},
       "cannot use project folder /nowhere: No such file or directory",
       ""},
  };
  for (const WordsMistake& mistake : mistakes) {
    const WeirResult result = run_weir(mistake.words);
    SCOPED_TRACE(::testing::PrintToString(mistake.words));
    EXPECT_EQ(result.status, 2);
    if (mistake.message.empty()) continue;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, StartsWith("weir: " + mistake.message + "\n"));
    if (!mistake.remedy.empty()) {
      EXPECT_EQ(result.err, "weir: " + mistake.message + "\n  " + mistake.remedy + "\n");
    }
  }
}

TEST(CliWords, WithJsonAnErrorIsOneObjectOnStandardOutput) {
  const WeirResult result = run_weir({"db", "sttaus", "--json"});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.err, "");
  const auto error = nlohmann::json::parse(result.out).at("error");
  EXPECT_EQ(error.at("code"), 2);
  EXPECT_EQ(error.at("message"), "unknown command 'db sttaus'");
  EXPECT_EQ(error.at("remedy"), "Did you mean 'status'? All commands: weir help db");
}

TEST(CliWords, OptionsMayStandInFrontOfTheCommandAndCarryTheirValue) {
  EXPECT_EQ(run_weir({"--json", "version"}).out, run_weir({"version", "--json"}).out);
  EXPECT_EQ(run_weir({"-C/", "--log=json", "--log-level=off", "version"}).status, 0);
}

TEST(CliWords, ColoursAreForTerminalsThatWantThem) {
  const auto coloured = [](const WeirSetup& setup, const Words& more = {}) {
    Words words{"help"};
    words.insert(words.end(), more.begin(), more.end());
    return run_weir(words, setup).out.find("\x1b[") != std::string::npos;
  };
  EXPECT_TRUE(coloured({.terminal = true}));
  EXPECT_FALSE(coloured({}));
  EXPECT_FALSE(coloured({.env = {{"NO_COLOR", "1"}}, .terminal = true}));
  EXPECT_TRUE(coloured({.env = {{"NO_COLOR", ""}}, .terminal = true}));
  EXPECT_FALSE(coloured({.env = {{"TERM", "dumb"}}, .terminal = true}));
  EXPECT_TRUE(coloured({}, {"--color", "always"}));
  EXPECT_FALSE(coloured({.terminal = true}, {"--color=never"}));
}

TEST(CliWords, OnATerminalAnErrorIsRed) {
  const WeirResult result = run_weir({"docter"}, {.terminal = true});
  EXPECT_EQ(result.out,
            "\x1b[31mweir:\x1b[0m unknown command 'docter'\r\n"
            "  Did you mean 'doctor'? All commands: weir help\r\n");
}

}  // namespace
}  // namespace weir::test
