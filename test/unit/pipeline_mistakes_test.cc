// Every class of mistake in a project, with its exact words and place.
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "support/errors.h"
#include "support/project_text.h"

namespace weir::test {
namespace {

using Files = std::map<std::string, std::string>;

struct Mistake {
  std::string text;
  std::vector<std::string> told;
  std::string remedy{};  ///< of the first
};

void expect_told(const ReadProject& read, const Mistake& mistake) {
  EXPECT_EQ(told(read.diagnostics), mistake.told) << mistake.text;
  const auto all = read.diagnostics.sorted();
  for (const auto& one : all) EXPECT_TRUE(has_message_style(one.message)) << one.message;
  if (!mistake.remedy.empty() && !all.empty()) {
    EXPECT_EQ(all.front().remedy, mistake.remedy) << mistake.text;
  }
}

TEST(PipelineMistakes, OfAPipeline) {
  const std::vector<Mistake> cases{
      {"",
       {"1:1 the pipeline has no tasks"},
       "Add some to 'tasks', or models as pipelines/p/models/SCHEMA/TABLE.sql."},
      {"tasks:\n", {"1:1 'tasks' must be a mapping, and is nothing", "1:1 the pipeline has no tasks"}},
      {"tasks: {}\n", {"1:8 the pipeline has no tasks"}},
      {"tasks: [a]\n", {"1:8 'tasks' must be a mapping, and is a list"}},
      {"- a\n", {"1:1 the file is a mapping of keys, and this is a list"}},
      {"taks:\n  a: {sql: x}\n", {"1:1 pipeline.yml has no key 'taks'", "1:1 the pipeline has no tasks"}},
      {"tasks: {a: {sql: x}}\nretires: 3\n",
       {"2:1 pipeline.yml has no key 'retires'"},
       "Its keys are description, schedule, parameters, defaults, max_active_runs, deadline, alerts, tasks."},
      {"tasks: {a: {sql: x}}\nmax_active_run: 3\n",
       {"2:1 pipeline.yml has no key 'max_active_run'"},
       "Did you mean 'max_active_runs'?"},
      {"tasks: {a: {sql: x}, a: {sql: y}}\n",
       {"1:22 'a' is here for the second time"},
       "The first one is in line 1."},
      {"tasks: {a: {sql: x}}\nmax_active_runs: 0\n",
       {"2:18 'max_active_runs' is 0, which is not from 1 to 10000"}},
      {"tasks: {a: {sql: x}}\nmax_active_runs: two\n",
       {"2:18 'max_active_runs' must be a whole number, and is 'two'"}},
      {"tasks: {a: {sql: x}}\ndeadline: -5m\n",
       {"2:11 'deadline' must be a time such as 30s, 5m or 2h, and is '-5m'"}},
      {"tasks: {a: {sql: x}}\ndeadline: 0s\n", {"2:11 'deadline' must be longer than nothing"}},
      {"tasks: {a: {sql: x}}\nalerts: [{when: [faild], to: x}]\n",
       {"2:18 'when' has 'faild', which is none of: failed, late, success, recovered",
        "2:30 'to' is 'x', which is no URL"},
       "Did you mean 'failed'?"},
      {"tasks: {a: {sql: x}}\nalerts: [{when: late}]\n", {"2:10 an alert needs to or run"}},
      {"tasks: {a: {sql: x}}\nalerts: [{when: late, run: ['']}]\n", {"2:28 'run' names no program"}},
      {"tasks: {a: {sql: x}}\nalerts: [{when: late, run: [mail, '${env:WHO}']}]\n",
       {"2:36 '${env:WHO}' cannot be used here, where others see it"}},
      {"tasks: {a: {sql: x}}\nalerts: [{when: late, run: [mail, '${run_id}']}]\n",
       {"2:36 '${run_id}' is not replaced here"}},
      {"tasks: {a: {sql: x}}\ndefaults: {pool: heavy, retry: {attempts: 0}}\n",
       {"2:18 there is no pool 'heavy'", "2:43 'attempts' is 0, which is not from 1 to 1000"},
       "Add it to 'pools' of weir.yml."},
  };
  for (const Mistake& mistake : cases) expect_told(read_pipeline_text(mistake.text), mistake);
}

TEST(PipelineMistakes, OfASchedule) {
  const std::string tasks = "tasks: {a: {sql: x}}\n";
  const std::vector<Mistake> cases{
      {"schedule: 0 6 * *\n", {"1:18 cron '0 6 * *', column 8, day of week: it has 4 of five fields"}},
      {"schedule: 0 6 ! * *\n",
       {"1:15 cron '0 6 ! * *', column 5, day of month: '!' is not understood here"}},
      {"schedule: '@dayly'\n",
       {"1:12 cron '@dayly', column 1: '@dayly' is not known"},
       "Did you mean @daily?"},
      {"schedule: {cron: 0 6 * * *, every: 5m}\n", {"1:29 schedule has one of 'cron', 'every', not several"}},
      {"schedule: {every: 5 minutes}\n",
       {"1:19 'every' must be a time such as 30s, 5m or 2h, and is '5 minutes'"}},
      {"schedule: {cron: 0 6 * * *, timezone: Europe/Berln}\n",
       {"1:39 there is no time zone 'Europe/Berln'"},
       "Did you mean 'Europe/Berlin'?"},
      {"schedule: {cron: 0 6 * * *, timezone: ../../../etc/passwd}\n",
       {"1:39 there is no time zone '../../../etc/passwd'"}},
      {"schedule: {every: 5m, dst: {gap: skip}}\n", {"1:23 'dst' has a meaning beside cron alone"}},
      {"schedule: {cron: 0 6 * * *, dst: {gap: shft}}\n",
       {"1:40 'gap' is 'shft', which is none of: shift, skip"},
       "Did you mean 'shift'?"},
      {"schedule: {cron: 0 6 * * *, missed: some}\n",
       {"1:37 'missed' is 'some', which is none of: all, last, none"}},
      {"schedule: {every: 1h, start: 2026-02-30}\n",
       {"1:30 'start' is '2026-02-30', which is no date or time"}},
      {"schedule: {every: 1h, start: 2026-02-03, end: 2026-02-03}\n", {"1:47 'end' is not behind 'start'"}},
      {"schedule: {datasets: [a.b]}\n", {"1:23 no task of the project updates the dataset 'a.b'"}},
      {"schedule: [daily]\n", {"1:11 'schedule' must be a text or a mapping, and is a list"}},
  };
  for (const Mistake& mistake : cases) expect_told(read_pipeline_text(mistake.text + tasks), mistake);
}

TEST(PipelineMistakes, OfParameters) {
  const std::string tasks = "tasks: {a: {sql: x}}\n";
  const std::vector<Mistake> cases{
      {"parameters: {a b: 1}\n", {"1:14 'a b' cannot be the name of a parameter"}},
      {"parameters: {n: {type: int}}\n",
       {"1:24 'type' is 'int', which is none of: string, integer, number, boolean, date, timestamp"}},
      {"parameters: {n: {type: integer, default: x}}\n",
       {"1:42 the default 'x' is no value of type integer"}},
      {"parameters: {n: {type: date, default: 2026-02-30}}\n",
       {"1:39 the default '2026-02-30' is no value of type date"}},
      {"parameters: {n: {choices: [a, b], default: c}}\n",
       {"1:44 the default 'c' is none of the choices: a, b"}},
      {"parameters: {n: {type: boolean, choices: [yes]}}\n",
       {"1:43 the choice 'yes' is no value of type boolean"}},
      {"parameters: {n: [1]}\n", {"1:17 a parameter must be a mapping, and is a list"}},
  };
  for (const Mistake& mistake : cases) expect_told(read_pipeline_text(mistake.text + tasks), mistake);
}

TEST(PipelineMistakes, OfATask) {
  const std::vector<Mistake> cases{
      {"{}", {"2:6 a task needs sql, run, shell, load or wait"}},
      {"", {"2:3 task 't' says nothing of what it does"}, "It needs one of sql, run, shell, load, wait."},
      {"5", {"2:6 a task must be a mapping, and is '5'"}},
      {"{sql: x, run: [y]}", {"2:15 a task has one of 'sql', 'run', not several"}},
      {"{sql: ''}", {"2:12 'sql' is empty"}},
      {"{sql: [x]}", {"2:12 'sql' must be a text or a mapping, and is a list"}},
      {"{sql: {fil: x}}", {"2:12 sql needs 'file'", "2:13 sql has no key 'fil'"}},
      {"{sql: {file: a.sql}}", {"2:19 there is no file 'pipelines/p/a.sql'"}},
      {"{sql: {file: ../../../a.sql}}", {"2:19 '../../../a.sql' leads out of the project"}},
      {"{sql: {file: /etc/passwd}}", {"2:19 '/etc/passwd' leads out of the project"}},
      {"{sql: {file: ../p}}", {"2:19 'pipelines/p' is a folder, not a file"}},
      {"{run: echo hello}",
       {"2:12 'run' must be a list of texts, and is 'echo hello'"},
       "Write [PROGRAM, ARGUMENT, ..]; for a line of a shell there is 'shell'."},
      {"{run: []}", {"2:12 'run' has no entries"}},
      {"{run: ['', x]}", {"2:12 'run' names no program"}},
      {"{sql: x, after: [u, u]}", {"2:23 there is no task 'u'", "2:26 'after' names 'u' twice"}},
      {"{sql: x, after: tt}", {"2:22 there is no task 'tt'"}},
      {"{sql: x, after: t}", {"2:3 tasks wait for each other: t > t"}},
      {"{sql: x, trigger_rule: all_sucess}",
       {"2:29 'trigger_rule' is 'all_sucess', which is none of: all_success, all_done, one_success, "
        "one_failed, "
        "none_failed, none_failed_min_one_success, always"},
       "Did you mean 'all_success'?"},
      {"{sql: x, slots: -1}", {"2:22 'slots' is -1, which is not from 1 to 1000000"}},
      {"{sql: x, slots: 3, pool: two}", {"2:22 3 slots, and pool 'two' has 2: it would never run"}},
      {"{sql: x, pool: tow}", {"2:21 there is no pool 'tow'"}, "Did you mean 'two'?"},
      {"{sql: x, priority: 1.5}", {"2:25 'priority' must be a whole number, and is '1.5'"}},
      {"{sql: x, retry: {max_delay: 1s}}", {"2:34 'max_delay' is shorter than 'delay'"}},
      {"{sql: x, retry: many}", {"2:22 'retry' must be a whole number, and is 'many'"}},
      {"{sql: x, transaction: no}",
       {"2:28 'transaction' must be true or false, and is 'no'"},
       "YAML 1.2 knows true and false alone."},
      {"{sql: x, connection: w}", {"2:27 there is no connection 'w'"}},
      {"{sql: x, env: {A: b}}", {"2:15 'env' has a meaning beside run, shell or load alone"}},
      {"{sql: x, skip_exit_code: 3}", {"2:15 'skip_exit_code' has a meaning beside run or shell alone"}},
      {"{run: [x], skip_exit_code: 256}", {"2:33 'skip_exit_code' is 256, which is not from 1 to 255"}},
      {"{run: [x], env: {1A: b}}", {"2:23 '1A' cannot be the name of a variable"}},
      {"{run: [x], env: {WEIR_RUN: b}}", {"2:23 'WEIR_RUN' is one of Weir's own variables"}},
      {"{run: [x], folder: nowhere}", {"2:25 there is no folder 'pipelines/p/nowhere'"}},
      {"{wait: {sql: x, file: y}}", {"2:22 wait has one of 'sql', 'file', not several"}},
      {"{wait: {every: 5s}}", {"2:13 wait needs sql, file, http or pipeline"}},
      {"{wait: {http: ftp://x}}", {"2:20 'http' is 'ftp://x', which is no URL"}},
      {"{wait: {pipeline: q}}", {"2:24 there is no pipeline 'q'"}},
      {"{wait: {pipeline: p}}", {"2:24 the pipeline waits for itself"}},
      {"{wait: {sql: x, then: skip}}", {"2:22 'then' has a meaning beside give_up alone"}},
      {"{wait: {sql: x}, map: [1]}", {"2:23 'map' has a meaning beside sql, run, shell or load alone"}},
      {"{run: [x], map: {max_parallel: 2}}", {"2:22 map needs sql or list"}},
      {"{run: [x], map: 5}", {"2:22 'map' must be a list or a mapping, and is '5'"}},
  };
  for (const Mistake& mistake : cases) {
    expect_told(read_files({{"weir.yml", "pools: {two: 2}\n"},
                            {"pipelines/p/pipeline.yml", "tasks:\n  t: " + mistake.text + "\n"}}),
                mistake);
  }
}

TEST(PipelineMistakes, OfALoad) {
  const std::vector<Mistake> cases{
      {"{into: a.b}", {"2:13 load needs source or command"}},
      {"{source: x}", {"2:13 load needs 'into'"}},
      {"{source: '-', into: a}", {"2:22 a task has no standard input to load"}},
      {"{source: x, into: a b}", {"2:31 'into' is 'a b', which is no table"}},
      {"{source: x, into: a, mode: upsert}", {"2:40 mode upsert needs 'key'"}},
      {"{source: x, into: a, window: 'd:1..2'}", {"2:42 'window' has no meaning with mode refresh"}},
      {"{source: x, into: a, max_rejects: some}",
       {"2:47 'max_rejects' is 'some', which is no number and no share such as 0.5%"}},
      {"{source: x, into: a, max_deletes: 200%}",
       {"2:47 'max_deletes' is '200%', which is no share such as 20%"}},
      {"{source: x, into: a, table: '${param:p}'}", {"2:42 '${param:p}' is not replaced here"}},
  };
  for (const Mistake& mistake : cases) {
    expect_told(read_pipeline_text("tasks:\n  t: {load: " + mistake.text + "}\n"), mistake);
  }
}

TEST(PipelineMistakes, OfWhatIsReplaced) {
  const std::vector<Mistake> cases{
      {"{run: [x, '${param:dya}']}", {"3:17 the pipeline has no parameter 'dya'"}, "Did you mean 'day'?"},
      {"{run: [x, '${parm:day}']}", {"3:17 there is no '${parm:day}'"}, "Did you mean '${param:day}'?"},
      {"{run: [x, '${HOME}']}",
       {"3:17 there is no '${HOME}'"},
       "Did you mean '${env:HOME}'? A '${' that stands for itself is written '$${'."},
      {"{run: [x, '${intervalstart}']}",
       {"3:17 there is no '${intervalstart}'"},
       "Did you mean 'interval_start'?"},
      {"{run: [x, '${env:TOKEN}']}", {"3:17 '${env:TOKEN}' cannot be used here, where others see it"}},
      {"{run: [x, '${item.id}']}", {"3:17 '${item.id}' has a meaning in a task with 'map' alone"}},
      {"{shell: 'echo a ${param:day}'}",
       {"3:22 '${param:day}' is not replaced in a script"},
       "Give it to the script as a variable: env: {X: \"${param:day}\"}, and there \"$X\"."},
      {"{shell: 'x=${1} ${item} ${run_id}'}", {}},
      {"{sql: \"select '${param:day}'\"}",
       {"3:21 '${param:day}' is not replaced in SQL"},
       "Write weir.param('day')."},
      {"{sql: x, when: \"select '${run_id}'\"}", {"3:30 '${run_id}' is not replaced in SQL"}},
      {"{run: [x, '${param:day}', '${interval_start}', '${interval_end}', '${logical_time}', '${run_id}', "
       "'$${x}', '${x']}",
       {}},
      {"{run: [x, '${item}', '${item.id}'], map: [{id: 1}]}", {}},
      {"{run: [x], env: {A: '${env:X} ${file:f} ${param:day}'}}", {}},
  };
  for (const Mistake& mistake : cases) {
    expect_told(read_pipeline_text("parameters: {day: x}\ntasks:\n  t: " + mistake.text + "\n"), mistake);
  }
}

TEST(PipelineMistakes, OfAFileOfSqlAreToldInIt) {
  const ReadProject read =
      read_files({{"pipelines/p/pipeline.yml", "tasks: {t: {sql: {file: a.sql}}, u: {sql: {file: b.sql}}}\n"},
                  {"pipelines/p/a.sql", "select 1;\n  select '${param:x}' -- $${param:y}\n"},
                  {"pipelines/p/b.sql", " \n"}});
  EXPECT_EQ(told(read.diagnostics),
            (std::vector<std::string>{"pipelines/p/a.sql:2:11 '${param:x}' is not replaced in SQL",
                                      "1:50 'pipelines/p/b.sql' is empty"}));
}

TEST(PipelineMistakes, ACycleIsPrintedAsAPath) {
  const ReadProject read = read_pipeline_text(
      "tasks:\n"
      "  before: {sql: x}\n"
      "  a: {sql: x, after: [before, c]}\n"
      "  b: {sql: x, after: a}\n"
      "  c: {sql: x, after: b}\n"
      "  behind: {sql: x, after: c}\n"
      "  d: {sql: x, after: e}\n"
      "  e: {sql: x, after: d}\n");
  EXPECT_EQ(told(read.diagnostics), (std::vector<std::string>{"3:3 tasks wait for each other: a > b > c > a",
                                                              "7:3 tasks wait for each other: d > e > d"}));
}

TEST(PipelineMistakes, OfNames) {
  const std::string long_name(201, 'x');
  const std::vector<Mistake> cases{
      {"..", {"2:3 '..' cannot be the name of a task: it stands for a folder of its own"}},
      {"a/b", {"2:3 'a/b' cannot be the name of a task: it has a slash in it"}},
      {"-x", {"2:3 '-x' cannot be the name of a task: it begins with a dash, as options do"}},
      {"' x'", {"2:3 ' x' cannot be the name of a task: it begins or ends with a blank"}},
      {"\"a\\nb\"", {"2:3 'a\\x0ab' cannot be the name of a task: it has a control character in it"}},
      {"''", {"2:3 '' cannot be the name of a task: it is empty"}},
      {long_name,
       {"2:3 '" + long_name.substr(0, 59) +
        "…' cannot be the name of a task: it has 201 bytes, more than 200"}},
      {"日次の売上", {}},
      {"über alles", {}},
      {std::string(200, 'x'), {}},
  };
  for (const Mistake& mistake : cases) {
    expect_told(read_pipeline_text("tasks:\n  " + mistake.text + ": {sql: x}\n"), mistake);
  }
}

TEST(PipelineMistakes, OfTheProject) {
  const std::string fine = "tasks: {a: {sql: x}}\n";
  struct Case {
    Files files;
    std::vector<std::string> told;
  };
  const std::vector<Case> cases{
      {{{"weir.yml", "conections: {}\n"}}, {"weir.yml:1:1 weir.yml has no key 'conections'"}},
      {{{"weir.yml", "pools: {heavy: 0}\n"}},
       {"weir.yml:1:16 pool 'heavy' is 0, which is not from 1 to 1000000"}},
      {{{"weir.yml", "pools: {a/b: 1}\n"}},
       {"weir.yml:1:9 'a/b' cannot be the name of a pool: it has a slash in it"}},
      {{{"weir.yml", "history: forever\n"}},
       {"weir.yml:1:10 'history' must be a time such as 30s, 5m or 2h, and is 'forever'"}},
      {{{"weir.yml", "connections: {w: '${param:x}'}\n"}},
       {"weir.yml:1:19 '${param:x}' is not replaced here"}},
      {{{"pipelines/x.yml", fine}}, {"pipelines/x.yml:0:0 a pipeline has a folder of its own"}},
      {{{"pipelines/q/pipeline.yaml", fine}}, {"pipelines/q:0:0 there is no pipeline.yml in it"}},
      {{{"pipelines/-q/pipeline.yml", fine}},
       {"pipelines/-q:0:0 '-q' cannot be the name of a pipeline: it begins with a dash, as options do"}},
  };
  for (const Case& one : cases) EXPECT_EQ(told(read_files(one.files).diagnostics), one.told);
}

TEST(PipelineMistakes, WithoutWeirYmlThereIsNoProject) {
  pipeline::Diagnostics diagnostics;
  pipeline::read_project(pipeline::MemoryFiles(Files{{"weir.yaml", ""}}), "x", diagnostics);
  EXPECT_EQ(told(diagnostics),
            std::vector<std::string>{"weir.yml:0:0 there is no weir.yml, so this is no project"});
  EXPECT_EQ(diagnostics.sorted().front().remedy, "weir.yaml is not read: rename it.");
}

TEST(PipelineMistakes, APasswordInClearIsAWarningThatDoesNotShowIt) {
  for (const std::string url : {"postgresql://u:hunter2@h/d", "host=h password=hunter2"}) {
    const ReadProject read = read_files({{"weir.yml", "connections:\n  w: " + url + "\n"}});
    EXPECT_TRUE(read.diagnostics.ok());
    EXPECT_EQ(told(read.diagnostics),
              std::vector<std::string>{"warning weir.yml:2:6 connection 'w' has its password written out"});
    EXPECT_FALSE(has(to_text(read.diagnostics), "hunter2"));
  }
  for (const std::string url :
       {"postgresql://u:${env:PW}@h/d", "${env:URL}", "host=h password=${file:pw}", "postgresql://h/d"}) {
    EXPECT_EQ(told(read_files({{"weir.yml", "connections:\n  w: " + url + "\n"}}).diagnostics),
              std::vector<std::string>{});
  }
}

TEST(PipelineMistakes, ManyAreToldAtOnceAndTooManyAreCounted) {
  std::string text = "tasks:\n";
  for (int i = 0; i < 700; ++i) text += fmt::format("  t{}: {{sql: x, pool: nowhere}}\n", i);
  const ReadProject read = read_pipeline_text(text);
  EXPECT_EQ(read.diagnostics.errors(), 700U);
  EXPECT_EQ(read.diagnostics.sorted().size(), pipeline::Diagnostics::kKept);
  EXPECT_TRUE(has(to_text(read.diagnostics), "\nand 200 more\n"));
}

TEST(PipelineMistakes, TheCaretIsUnderTheCharacterThatIsMeant) {
  const ReadProject read = read_pipeline_text("tasks:\n  日本: {sql: x, pol: y}\n");
  EXPECT_EQ(to_text(read.diagnostics),
            "pipelines/p/pipeline.yml:2:16: error: a task has no key 'pol'\n"
            "    2 |   日本: {sql: x, pol: y}\n"
            "      |                  ^\n"
            "  Did you mean 'pool'?\n");
  const ReadProject wide = read_pipeline_text("tasks: {a: {sql: '" + std::string(300, 'x') +
                                              "', pol: y, after: " + std::string(150, 'z') + "}}\n");
  const std::string text = to_text(wide.diagnostics);
  EXPECT_TRUE(has(text, "    1 | …xxx")) << text;
  EXPECT_TRUE(has(text, "zzz…\n")) << text;
}

}  // namespace
}  // namespace weir::test
