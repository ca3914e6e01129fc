#include "pipeline/define/keys.h"

#include <algorithm>
#include <array>

namespace weir::pipeline {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kTriggerRules{"all_success"sv, "all_done"sv,    "one_success"sv,
                                   "one_failed"sv,  "none_failed"sv, "none_failed_min_one_success"sv,
                                   "always"sv};
constexpr std::array kGaps{"shift"sv, "skip"sv};
constexpr std::array kOverlaps{"first"sv, "last"sv, "both"sv};
constexpr std::array kMissed{"all"sv, "last"sv, "none"sv};
constexpr std::array kTypes{"string"sv, "integer"sv, "number"sv, "boolean"sv, "date"sv, "timestamp"sv};
constexpr std::array kMaterialized{"table"sv, "view"sv, "incremental"sv};
constexpr std::array kStrategies{"refresh"sv, "swap"sv, "upsert"sv, "append"sv, "window"sv};
constexpr std::array kAlertEvents{"failed"sv, "late"sv, "success"sv, "recovered"sv};
constexpr std::array kAlertWays{"to"sv, "run"sv};
constexpr std::array kBackoffs{"constant"sv, "exponential"sv};
constexpr std::array kGiveUp{"fail"sv, "skip"sv};
constexpr std::array kModes{"append"sv, "upsert"sv, "window"sv,        "refresh"sv,
                            "scd2"sv,   "swap"sv,   "partition-swap"sv};
constexpr std::array kContracts{"evolve"sv, "freeze"sv, "discard"sv, "quarantine"sv};
constexpr std::array kFormats{"csv"sv, "tsv"sv, "ndjson"sv, "json"sv, "sqlite"sv, "postgres"sv};
constexpr std::array kViews{"recreate"sv, "refuse"sv};

constexpr std::array kRetryKeys{
    Key("attempts", Shape::integer, "how often in all, the first time too (default: 1)").from_to(1, 1000),
    Key("delay", Shape::duration, "before the second attempt (default: 10s)"),
    Key("backoff", Shape::word, "whether the delay doubles each time (default: exponential)")
        .one_of(kBackoffs),
    Key("max_delay", Shape::duration, "never longer than this (default: 10m)"),
    Key("jitter", Shape::boolean, "spreads those that failed together (default: true)"),
};
constexpr Object kRetry{"retry", kRetryKeys};

// What tasks and models share, and what `defaults` may say of them.
constexpr Key kPool = Key("pool", Shape::text, "a pool of weir.yml (default: default)");
constexpr Key kPriority =
    Key("priority", Shape::integer, "the higher one is first where a pool is full (default: 0)")
        .from_to(-1'000'000, 1'000'000);
constexpr Key kRetryKey = Key("retry", Shape::object, "when it failed: a number of attempts, or more exactly")
                              .or_as(Shape::integer)
                              .has(kRetry)
                              .from_to(1, 1000);
constexpr Key kTimeout = Key("timeout", Shape::duration, "of each attempt; then it is stopped, and failed");
constexpr Key kAfter = Key("after", Shape::texts, "tasks that come before it");
constexpr Key kTriggerRule =
    Key("trigger_rule", Shape::word, "what must have become of the tasks before it (default: all_success)")
        .one_of(kTriggerRules);
constexpr Key kSlots =
    Key("slots", Shape::integer, "how many of its pool it takes (default: 1)").from_to(1, 1'000'000);
constexpr Key kWhen = Key("when", Shape::text, "a query; where it answers false the task is skipped");
constexpr Key kAllowFailure =
    Key("allow_failure", Shape::boolean, "its failure does not fail the run (default: false)");
constexpr Key kProduces =
    Key("produces", Shape::texts, "datasets that its success updates; a model's and a load's table is one");

constexpr std::array kDefaultsKeys{kPool, kPriority, kRetryKey, kTimeout};
constexpr Object kDefaults{"defaults", kDefaultsKeys};

constexpr std::array kAlertKeys{
    Key("when", Shape::words, "failed, late, success, recovered: it succeeds after it had failed")
        .one_of(kAlertEvents)
        .must(),
    Key("to", Shape::text,
        "a URL that a JSON document is posted to; ${env:X} and ${file:X} are replaced then"),
    Key("run", Shape::argv, "or a program and its arguments, which reads the document; no shell takes part"),
};
constexpr Object kAlert{"an alert", kAlertKeys, kAlertWays};
constexpr Key kDefaultsKey =
    Key("defaults", Shape::object, "for every task that does not say otherwise").has(kDefaults);
constexpr Key kAlertsKey = Key("alerts", Shape::objects, "who is told").has(kAlert);

constexpr Key kConnection =
    Key("", Shape::text, "a URL; ${env:X} and ${file:X} are replaced when it is used");
constexpr std::array kPoolKeys{
    Key("slots", Shape::integer, "how many slots it has; without it there is no limit")
        .from_to(1, 1'000'000)};
constexpr Object kPoolObject{"a pool", kPoolKeys};
constexpr Key kPoolEach =
    Key("", Shape::object, "its slots").or_as(Shape::integer).has(kPoolObject).from_to(1, 1'000'000);

constexpr std::array kProjectKeys{
    Key("name", Shape::text, "of the project (default: that of its folder)"),
    Key("connections", Shape::map, "databases other than that of Weir").of_each(kConnection),
    Key("pools", Shape::map, "what bounds how many tasks run at a time").of_each(kPoolEach),
    kDefaultsKey,
    kAlertsKey,
    Key("history", Shape::duration, "how long runs are kept (default: 30d)"),
};
constexpr Object kProject{"weir.yml", kProjectKeys};

constexpr std::array kDstKeys{
    Key("gap", Shape::word,
        "an hour that is not there: at the first instant after it, or not at all (default: shift)")
        .one_of(kGaps),
    Key("overlap", Shape::word, "an hour that is there twice (default: first)").one_of(kOverlaps),
};
constexpr Object kDst{"dst", kDstKeys};
constexpr std::array kScheduleKinds{"cron"sv, "every"sv, "datasets"sv};
constexpr std::array kScheduleKeys{
    Key("cron", Shape::text, "minute hour day month weekday, or @hourly, @daily, @weekly, @monthly, @yearly"),
    Key("every", Shape::duration, "15m: at each multiple of it"),
    Key("datasets", Shape::texts, "when each of them was updated since the last run"),
    Key("timezone", Shape::text, "of cron, start and end (default: UTC)"),
    Key("missed", Shape::word, "what was missed while nothing ran: all of it, the last, none (default: last)")
        .one_of(kMissed),
    Key("dst", Shape::object, "how a fixed hour meets the change of clocks").has(kDst).only_beside("cron"),
    Key("start", Shape::text, "a date or a time; nothing before it"),
    Key("end", Shape::text, "a date or a time; nothing from it on"),
};
constexpr Object kSchedule{"schedule", kScheduleKeys, kScheduleKinds, true};

constexpr std::array kParameterKeys{
    Key("type", Shape::word, "(default: string)").one_of(kTypes),
    Key("default", Shape::scalar, "without it a run must be given one"),
    Key("choices", Shape::values, "no other value is taken"),
};
constexpr Object kParameter{"a parameter", kParameterKeys};
constexpr Key kParameterEach =
    Key("", Shape::object, "its default, or more exactly").or_as(Shape::scalar).has(kParameter);

constexpr std::array kSqlFileKeys{Key("file", Shape::text, "beside pipeline.yml").must()};
constexpr Object kSqlFile{"sql", kSqlFileKeys};

constexpr std::array kLoadSources{"source"sv, "command"sv};
constexpr std::array kLoadKeys{
    Key("source", Shape::text, "a file, a pattern or a URL, as weir load takes it"),
    Key("command", Shape::argv, "a program whose output is loaded"),
    Key("into", Shape::text, "the table; made where there is none").must(),
    Key("mode", Shape::word, "(default: refresh)").one_of(kModes),
    Key("key", Shape::texts, "which row a record is"),
    Key("window", Shape::text, "COLUMN:FROM..TO, of mode window"),
    Key("partition", Shape::text, "of mode partition-swap"),
    Key("schema", Shape::word, "for new columns and wider types (default: evolve)").one_of(kContracts),
    Key("columns", Shape::text, "NAME:TYPE,.. of a table that is made"),
    Key("format", Shape::word, "(default: by name and content)").one_of(kFormats),
    Key("table", Shape::text, "of a source that is a database"),
    Key("query", Shape::text, "of a source that is a database"),
    Key("max_rejects", Shape::text, "so many records may be bad: N or P% (default: 0)"),
    Key("max_deletes", Shape::text, "refuse to delete more of the rows: P% (default: 20%)"),
    Key("allow_empty", Shape::boolean, "a source without records empties the table, or the window"),
    Key("allow_mass_delete", Shape::boolean, "delete as many as it takes"),
    Key("reject_duplicates", Shape::boolean, "of records with one key all but the last are rejects"),
    Key("not_compared", Shape::texts, "a change in these columns alone is no change"),
    Key("staged", Shape::boolean, "append through the stage"),
    Key("views", Shape::word, "of mode swap (default: recreate)").one_of(kViews),
    Key("history_columns", Shape::texts, "of mode scd2"),
    Key("flatten", Shape::integer, "of JSON: levels of objects that become columns").from_to(0, 32),
    Key("sample", Shape::integer, "records that types are inferred from (default: 10000)")
        .from_to(1, 10'000'000),
    Key("lock_timeout", Shape::duration, "for rows and the table, each attempt (default: 2s)"),
    Key("delimiter", Shape::text, "of CSV (default: found out)"),
    Key("quote", Shape::text, "of CSV"),
    Key("header", Shape::boolean, "of CSV: whether it has one"),
    Key("null", Shape::texts, "of CSV: what stands for null"),
    Key("encoding", Shape::text, "of CSV (default: found out)"),
    Key("comment", Shape::text, "of CSV: lines that begin with it are left out"),
    Key("trim", Shape::boolean, "of CSV: blanks around fields are left out"),
};
constexpr Object kLoad{"load", kLoadKeys, kLoadSources};

constexpr std::array kWaitKinds{"sql"sv, "file"sv, "http"sv, "pipeline"sv};
constexpr std::array kWaitKeys{
    Key("sql", Shape::text, "until this query answers true"),
    Key("file", Shape::text, "until this file is there"),
    Key("http", Shape::text, "until this URL answers with 2xx"),
    Key("pipeline", Shape::text, "until its run for the same logical time has succeeded"),
    Key("connection", Shape::text, "of weir.yml (default: the database of Weir)").only_beside("sql"),
    Key("every", Shape::duration, "how often it looks (default: 30s)"),
    Key("give_up", Shape::duration, "how long it looks (default: for ever)"),
    Key("then", Shape::word, "what it does when it gives up (default: fail)")
        .one_of(kGiveUp)
        .only_beside("give_up"),
};
constexpr Object kWait{"wait", kWaitKeys, kWaitKinds};

constexpr std::array kMapSources{"sql"sv, "list"sv};
constexpr std::array kMapKeys{
    Key("sql", Shape::text, "a query; each of its rows is an element"),
    Key("list", Shape::values, "the elements themselves"),
    Key("max_parallel", Shape::integer, "how many run at a time (default: all)").from_to(1, 1'000'000'000),
};
constexpr Object kMap{"map", kMapKeys, kMapSources};

constexpr Key kEnvEach = Key("", Shape::text, "its value");
constexpr std::array kTaskKinds{"sql"sv, "run"sv, "shell"sv, "load"sv, "wait"sv};
constexpr std::array kTaskKeys{
    Key("sql", Shape::object, "statements, or the file that has them").or_as(Shape::text).has(kSqlFile),
    Key("run", Shape::argv, "a program and its arguments; no shell takes part"),
    Key("shell", Shape::text, "a script for /bin/sh; nothing is replaced in it"),
    Key("load", Shape::object, "brings a table up to a source").has(kLoad),
    Key("wait", Shape::object, "looks every now and then; holds no slot").has(kWait),
    kAfter,
    kTriggerRule,
    kPool,
    kSlots,
    kPriority,
    kRetryKey,
    kTimeout,
    kWhen,
    kAllowFailure,
    kProduces,
    Key("map", Shape::object, "runs the task once for each element: ${item}, ${item.KEY}")
        .or_as(Shape::values)
        .has(kMap)
        .only_beside("sql run shell load"),
    Key("connection", Shape::text, "of weir.yml (default: the database of Weir, and so exactly once)")
        .only_beside("sql"),
    Key("transaction", Shape::boolean, "false: each statement by itself, at least once (default: true)")
        .only_beside("sql"),
    Key("allow_blocking", Shape::text, "the reason why a statement may block readers").only_beside("sql"),
    Key("env", Shape::map, "environment variables").of_each(kEnvEach).only_beside("run shell load"),
    Key("folder", Shape::text, "where it runs (default: beside pipeline.yml)").only_beside("run shell load"),
    Key("skip_exit_code", Shape::integer, "an exit status that means skipped")
        .from_to(1, 255)
        .only_beside("run shell"),
    Key("database", Shape::boolean, "whether it gets DATABASE_URL (default: false)").only_beside("run shell"),
};
constexpr Object kTask{"a task", kTaskKeys, kTaskKinds};
constexpr Key kTaskEach = Key("", Shape::object, "a task").has(kTask);

constexpr std::array kPipelineKeys{
    Key("description", Shape::text, "for people"),
    Key("schedule", Shape::object, "when it runs: cron, or more exactly; without it by hand")
        .or_as(Shape::text)
        .has(kSchedule),
    Key("parameters", Shape::map, "what a run may be given; SQL reads them as weir.param('x')")
        .of_each(kParameterEach),
    kDefaultsKey,
    Key("max_active_runs", Shape::integer, "how many runs at a time (default: 1)").from_to(1, 10'000),
    Key("deadline", Shape::duration, "from the scheduled instant; then it is late"),
    kAlertsKey,
    Key("tasks", Shape::map, "by their names").of_each(kTaskEach),
};
constexpr Object kPipeline{"pipeline.yml", kPipelineKeys};

constexpr std::array kAcceptedKeys{
    Key("column", Shape::text, "").must(),
    Key("values", Shape::values, "").must(),
};
constexpr Object kAccepted{"accepted_values", kAcceptedKeys};
constexpr std::array kRelationshipKeys{
    Key("column", Shape::text, "").must(),
    Key("to", Shape::text, "what ref() takes, or schema.table").must(),
    Key("field", Shape::text, "the column there (default: the same name)"),
};
constexpr Object kRelationship{"relationships", kRelationshipKeys};
constexpr std::array kCheckKinds{"unique"sv, "not_null"sv, "accepted_values"sv, "relationships"sv, "sql"sv};
constexpr std::array kCheckKeys{
    Key("unique", Shape::texts, "no two rows have the same values in these columns"),
    Key("not_null", Shape::texts, "every row has a value in each of these columns"),
    Key("accepted_values", Shape::object, "the column has no other value").has(kAccepted),
    Key("relationships", Shape::object, "every value of the column is there").has(kRelationship),
    Key("sql", Shape::text, "a query that answers true where all is well; this() is the model"),
    Key("name", Shape::text, "what it is called"),
    Key("blocking", Shape::boolean, "whether the model fails with it (default: true)"),
};
constexpr Object kCheck{"a check", kCheckKeys, kCheckKinds};

constexpr std::array kModelKeys{
    Key("materialized", Shape::word, "(default: table)").one_of(kMaterialized),
    Key("strategy", Shape::word, "of a table: refresh or swap; of incremental: upsert, append or window")
        .one_of(kStrategies),
    Key("key", Shape::texts, "which row is which"),
    Key("window", Shape::text, "of strategy window: the column that the interval bounds"),
    Key("relation", Shape::text, "schema.name (default: folder and file)"),
    Key("checks", Shape::objects, "what must hold before others see it").has(kCheck),
    kAfter,
    kTriggerRule,
    kPool,
    kSlots,
    kPriority,
    kRetryKey,
    kTimeout,
    kWhen,
    kAllowFailure,
    kProduces,
};
constexpr Object kModel{"a model", kModelKeys};

}  // namespace

const Key* Object::find(std::string_view name) const noexcept {
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

std::vector<std::string_view> words_between_blanks(std::string_view words) {
  std::vector<std::string_view> all;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    all.push_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return all;
}

std::span<const std::string_view> trigger_rule_words() noexcept { return kTriggerRules; }
std::span<const std::string_view> gap_words() noexcept { return kGaps; }
std::span<const std::string_view> overlap_words() noexcept { return kOverlaps; }
std::span<const std::string_view> missed_words() noexcept { return kMissed; }
std::span<const std::string_view> parameter_type_words() noexcept { return kTypes; }
std::span<const std::string_view> materialized_words() noexcept { return kMaterialized; }

const Object& project_object() noexcept { return kProject; }
const Object& pipeline_object() noexcept { return kPipeline; }
const Object& model_object() noexcept { return kModel; }
const Object& parameter_object() noexcept { return kParameter; }
const Object& task_object() noexcept { return kTask; }

}  // namespace weir::pipeline
