#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "pipeline/define/position.h"

namespace weir::pipeline {

/// When a task may run, judged by what became of the tasks before it. The same rules are in SQL
/// (weir.task_verdict), and a test compares the two.
enum class TriggerRule : std::uint8_t {
  all_success,
  all_done,
  one_success,  ///< as soon as one has succeeded
  one_failed,   ///< as soon as one has failed
  none_failed,
  none_failed_min_one_success,
  always,  ///< at once, whatever is before it
};

struct Retry {
  int attempts = 1;  ///< in all, the first one too
  Duration delay = std::chrono::seconds(10);
  bool exponential = true;
  Duration max_delay = std::chrono::minutes(10);
  bool jitter = true;
  bool operator==(const Retry&) const = default;
};

/// Statements, run in one transaction with the success of the task.
struct SqlBody {
  std::string text;
  std::string file;              ///< relative to the project; empty: inline
  std::string connection;        ///< a name of weir.yml; empty: the database of Weir, and so exactly once
  bool transaction = true;       ///< false: each statement by itself, as VACUUM needs it; then at least once
  std::string allow_blocking{};  ///< the reason why a statement may block readers; for the lock analyser
  bool operator==(const SqlBody&) const = default;
};

/// A program. `shell` holds a script for /bin/sh when it was said explicitly; else argv reaches the program
/// as it is, after ${..} was replaced.
struct RunBody {
  std::vector<std::string> argv;
  std::string shell;
  std::map<std::string, std::string> env{};  ///< values may be ${env:..} or ${file:..}: resolved when it runs
  std::string folder{};                      ///< relative to the project
  std::optional<int> skip_exit_code{};       ///< an exit status that means "skipped"
  bool database = false;                     ///< whether it gets DATABASE_URL: it does not unless told to
  bool operator==(const RunBody&) const = default;
};

/// As `weir load` takes it; the words are those of its options.
struct LoadBody {
  std::string source;
  std::vector<std::string> command{};  ///< records are the output of this program, instead of `source`
  std::string into;
  /// mode, key, window, schema, max-rejects, .. as the options of `weir load` are named; a switch is "true".
  std::map<std::string, std::string> options{};
  std::map<std::string, std::string> env{};  ///< of `command`; as RunBody's
  std::string folder{};  ///< relative to the project: where `command` runs and `source` counts from
  bool operator==(const LoadBody&) const = default;
};

/// Looks every now and then, and holds no slot in between.
struct WaitBody {
  enum class Kind : std::uint8_t { sql, file, http, pipeline };
  Kind kind = Kind::sql;
  std::string what;      ///< a query that answers true, a path, a URL, a pipeline
  std::string folder{};  ///< relative to the project: where the path of a file counts from
  std::string connection{};
  Duration every = std::chrono::seconds(30);
  std::optional<Duration> give_up{};  ///< then it fails, or is skipped
  bool skip_when_given_up = false;
  bool operator==(const WaitBody&) const = default;
};

struct Check {
  std::string name;  ///< "unique(day, store_id)"
  std::string sql;   ///< answers one row whose first column is true where all is well
  bool blocking = true;
  bool operator==(const Check&) const = default;
};

/// A SELECT that becomes a table, a view, or new rows of a table.
struct ModelBody {
  enum class Kind : std::uint8_t { table, view, incremental };
  Kind kind = Kind::table;
  std::string select;    ///< ref(..) replaced
  std::string file;      ///< relative to the project
  std::string relation;  ///< schema.name, as SQL reads it
  std::vector<std::string> key{};
  std::string strategy{};  ///< table: refresh | swap; incremental: upsert | append | window
  std::string window_column{};
  std::vector<Check> checks{};
  bool operator==(const ModelBody&) const = default;
};

/// Fan-out: the body runs once for each element.
struct MapSource {
  std::string sql;                  ///< a query whose rows are the elements, as JSON objects
  std::vector<std::string> list{};  ///< or these, each a JSON text
  std::optional<int> max_parallel{};
  bool operator==(const MapSource&) const = default;
};

struct TaskDefinition {
  std::string name;
  std::variant<SqlBody, RunBody, LoadBody, WaitBody, ModelBody> body;
  std::optional<MapSource> map{};
  std::vector<int> upstream{};    ///< numbers of tasks, ascending, each lower than this one's own
  std::vector<int> downstream{};  ///< the same seen from above
  TriggerRule rule = TriggerRule::all_success;
  std::string pool = "default";
  int slots = 1;
  int priority = 0;
  Retry retry{};
  std::optional<Duration> timeout{};
  std::string when{};                   ///< a query; false: the task is skipped
  bool allow_failure = false;           ///< its failure does not fail the run
  std::vector<std::string> produces{};  ///< datasets that its success updates
  Position position{};
  bool operator==(const TaskDefinition&) const = default;
};

/// How a fixed hour meets the change of clocks.
struct DstRule {
  enum class Gap : std::uint8_t { shift, skip };  ///< shift: the first valid instant after it
  enum class Overlap : std::uint8_t { first, last, both };
  Gap gap = Gap::shift;
  Overlap overlap = Overlap::first;
  bool operator==(const DstRule&) const = default;
};

enum class Missed : std::uint8_t { all, last, none };

/// At most one of cron, every and datasets; none of them: started by hand only.
struct ScheduleDefinition {
  std::string cron{};
  std::optional<Duration> every{};
  std::vector<std::string> datasets{};  ///< a run when each of them was updated since the last one
  std::string timezone = "UTC";
  Missed missed = Missed::last;
  DstRule dst{};
  std::optional<WallTime> start{};
  std::optional<WallTime> end{};
  bool operator==(const ScheduleDefinition&) const = default;
};

struct Parameter {
  enum class Type : std::uint8_t { string, integer, number, boolean, date, timestamp };
  std::string name;
  Type type = Type::string;
  std::optional<std::string> default_value{};  ///< its text; nothing: must be given
  std::vector<std::string> choices{};
  bool operator==(const Parameter&) const = default;
};

/// Who is told of what: a URL or a program.
struct Alert {
  std::vector<std::string> when{};  ///< failed, late, success, recovered
  std::string to{};                 ///< a URL; may be ${env:..}
  std::vector<std::string> run{};   ///< or a program and its arguments, as they stand
  std::string folder{};             ///< where it runs, relative to the project
  bool operator==(const Alert&) const = default;
};

/// One pipeline, checked: tasks in an order in which every edge points forward.
struct PipelineDefinition {
  std::string name;
  std::string file;  ///< relative to the project
  std::string description{};
  ScheduleDefinition schedule{};
  std::vector<Parameter> parameters{};
  std::vector<TaskDefinition> tasks{};
  int max_active_runs = 1;
  std::optional<Duration> deadline{};  ///< from the scheduled instant: later it is late, and alerts say so
  std::vector<Alert> alerts{};
  bool operator==(const PipelineDefinition&) const = default;
};

struct PoolDefinition {
  std::string name;
  std::optional<int> slots{};  ///< nothing: no limit
  bool operator==(const PoolDefinition&) const = default;
};

/// weir.yml and all that is below it.
struct ProjectDefinition {
  std::string name;
  std::string folder;
  std::map<std::string, std::string>
      connections{};  ///< URLs, with ${env:..} and ${file:..} as they were written
  std::vector<PoolDefinition> pools{};
  std::vector<PipelineDefinition> pipelines{};
  Duration keep_history = std::chrono::hours(24 * 30);
};

}  // namespace weir::pipeline
