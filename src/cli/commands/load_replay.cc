#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/load/open.h"
#include "cli/load/replay.h"
#include "cli/load/run_load.h"
#include "cli/load/runs.h"
#include "load/read/csv_reader.h"
#include "load/singer_state.h"
#include "load/write/state.h"
#include "load/write/target.h"
#include "pg/identifier.h"

namespace weir::cli {
namespace {

/// Whose state says that a load was replayed: written with the rows, so no two replays both commit.
constexpr const char* kPipeline = "weir load replay";
constexpr int kLookBack = 1000;

class Replaying {
 public:
  explicit Replaying(Context& context)
      : context_(context),
        given_(context.arguments),
        number_(run_number(context, "weir load replay RUN [--key COLUMN,..]")),
        session_(open_loads(context, "load-replay")),
        run_(require_run(session_, number_)) {}

  ExitCode run() {
    require_applied();
    if (!has_rejects()) {
      context_.progress.note(fmt::format("load {} rejected nothing", number_));
      if (context_.global.json) context_.out.json({{"run", nullptr}, {"replayed", 0}, {"left_out", 0}});
      return ExitCode::ok;
    }
    require_replayable();
    const RawForm form = look_over();
    tell();
    if (found_.count == 0) {
      throw Error(ExitCode::failed,
                  fmt::format("nothing of load {} can be replayed: {}", number_, found_.why_left_out),
                  fmt::format("See: weir load rejects {}", number_));
    }
    load::OpenedSource source;
    source.format = load::Format::ndjson;
    source.label = fmt::format("rejects of load {}", number_);
    source.reader = replay_reader(rejects(), form, found_, source.label, context_.stop);
    const load::Target target = find_target();
    require_meaning(target);
    load::LoadOptions options = this->options(target);
    session_.close();
    return run_load(context_, std::move(source), std::move(options));
  }

 private:
  void require_applied() const {
    if (run_.state == "applied") return;
    throw Error(ExitCode::refused,
                fmt::format("load {} {}: nothing of it is in {}, and no rejects of it are kept", number_,
                            run_.state == "failed" ? "failed" : "was not applied", run_.target),
                "Run the load itself again.");
  }

  void require_replayable() {
    if (run_.mode == "scd2") {
      throw Error(ExitCode::refused,
                  "rejects of a history cannot be replayed: alone they would end all other versions",
                  "Mend the source and load it again.");
    }
    if (given_.has("force")) return;
    if (load::read_state(session_, kPipeline, std::to_string(number_)).seq > 0) {
      throw Error(ExitCode::refused, fmt::format("load {} was replayed already", number_),
                  "--force does it again.");
    }
    const auto later = load::list_runs(session_, run_.target, kLookBack);
    const auto newer = std::find_if(later.begin(), later.end(), [&](const load::RunRow& run) {
      return run.id > number_ && run.state == "applied" && run.pipeline != kPipeline;
    });
    if (newer != later.end()) {
      throw Error(ExitCode::refused,
                  fmt::format("load {} of {} came after load {}: its rows may be newer than the rejects",
                              newer->id, run_.target, number_),
                  "--force replays them all the same.");
    }
  }

  bool has_rejects() { return load::RejectCursor(session_, number_).next().has_value(); }

  /// What can be replayed, before anything is: there may be more rejects than memory holds, so they are read
  /// twice.
  RawForm look_over() {
    load::RejectCursor cursor(session_, number_);
    auto reject = cursor.next();
    RawForm form = this->form(reject ? reject->file : "");
    ReplayLines lines(form);
    for (; reject; reject = cursor.next()) lines.line(*reject);
    found_ = lines.counted();
    return form;
  }

  /// By a session of their own, as long as they are read.
  NextReject rejects() {
    struct Reading {
      pg::Session session;
      load::RejectCursor cursor;
      Reading(pg::Session from, std::int64_t run) : session(std::move(from)), cursor(session, run) {}
    };
    const auto reading = std::make_shared<Reading>(open_loads(context_, "load-replay"), number_);
    return [reading] { return reading->cursor.next(); };
  }

  /// From --fields, else from the file if it is still there.
  RawForm form(const std::string& file_of_first) const {
    RawForm form;
    load::CsvChoice choice = read_csv_options(given_);
    const std::string& file = file_of_first.empty() ? run_.source : file_of_first;
    const auto format = load::said_format({.words = {file}});
    form.json = format == load::Format::ndjson || format == load::Format::json;
    if (form.json) return form;
    std::vector<load::Input> inputs;
    try {
      inputs = load::file_inputs(file);
      const load::CsvReader reader(std::move(inputs), choice, context_.stop);
      form.csv = reader.dialect();
      form.fields = reader.columns();
    } catch (const Error& error) {
      if (error.exit_code() == ExitCode::interrupted) throw;
      // It is gone, or was none: then what was said counts.
      form.csv.delimiter = choice.delimiter.value_or(form.csv.delimiter);
      form.csv.quote = choice.quote.value_or(form.csv.quote);
      form.csv.nulls = choice.nulls.value_or(form.csv.nulls);
      form.csv.trim = choice.trim;
    }
    if (const auto names = given_.value("fields")) form.fields = read_names("fields", *names);
    return form;
  }

  /// A run keeps what its table is called for people, without the quotes that SQL may need.
  load::Target find_target() {
    const std::string& label = run_.target;
    const std::size_t dot = label.find('.');
    std::vector<std::string> names{"public." + pg::quote_identifier(label)};
    if (dot != std::string::npos)
      names.insert(names.begin(), pg::quote_identifier(label.substr(0, dot)) + "." +
                                      pg::quote_identifier(label.substr(dot + 1)));
    for (const std::string& name : names) {
      if (auto target = load::describe_target(session_, name)) return std::move(*target);
    }
    throw Error(ExitCode::failed, fmt::format("there is no table {} any more", label),
                "Its rejects are still there: weir load rejects.");
  }

  /// How a tap encodes bytes, its SCHEMA alone says, which nobody keeps: read as PostgreSQL's text for bytea
  /// the same characters would be other bytes.
  void require_meaning(const load::Target& target) {
    if (!load::is_of_tap(load::read_state(session_, run_.pipeline, "").json)) return;
    for (const load::TargetColumn& column : target.columns) {
      if (column.type.base != load::Base::bytea) continue;
      throw Error(ExitCode::refused,
                  fmt::format("load {} was of a tap, and how that writes the bytes of column {} is not kept",
                              number_, printable(column.name)),
                  "Let the tap send the records again.");
    }
  }

  load::LoadOptions options(const load::Target& target) {
    load::LoadOptions options;
    options.contract = load::Contract::quarantine;
    options.pipeline = kPipeline;
    options.stream = std::to_string(number_);
    options.dry_run = given_.has("dry-run");
    options.target = target.sql();
    load::LoadSpec& spec = options.spec;
    spec.rejects = read_reject_limit(given_);
    spec.mode = load::Mode::append;
    if (run_.mode == "append") return options;
    if (const auto key = given_.value("key")) {
      spec.key = read_names("key", *key);
    } else if (const load::UniqueKey* const primary = target.primary_key()) {
      spec.key = primary->columns;
    }
    if (!spec.key.empty()) spec.mode = load::Mode::upsert;
    return options;
  }

  void tell() const {
    if (found_.left_out == 0) return;
    context_.progress.note(fmt::format("{} of {} rejects cannot be replayed ({})", found_.left_out,
                                       found_.count + found_.left_out, found_.why_left_out));
  }

  Context& context_;
  const Arguments& given_;
  std::int64_t number_;
  pg::Session session_;
  load::RunRow run_;
  Replay found_;
};

ExitCode run_load_replay(Context& context) { return Replaying(context).run(); }

}  // namespace

Command load_replay_command() {
  std::vector<OptionSpec> options{
      {"key", 0, "COLUMN,..", "which row a record is (default: the primary key)"},
      {"fields", 0, "NAME,..", "what the fields of a record are called (default: the header of the source)"},
      {"max-rejects", 0, "N|P%", "so many may be bad again (default: 0)"},
      {"dry-run", 0, "", "show the plan with its locks, and change nothing"},
      {"force", 0, "", "also where it was replayed already, or a later load was applied"}};
  for (const OptionSpec& option : csv_option_specs()) options.push_back(option);
  return {
      .path = "load replay",
      .summary = "load the records again that a load rejected, once what they lacked is there",
      .description =
          "Such as after a column was made wider, or the rows came that a foreign key asks for. They are\n"
          "appended where the load appended, else added or updated by their key. Records that broke off, "
          "are\n"
          "longer than 64 KiB, or whose key came again in a later record are left out, and counted.",
      .options = std::move(options),
      .words = "RUN",
      .examples = {{"weir load replay 12", ""}, {"weir load replay 12 --key ts,pair --max-rejects 5", ""}},
      .run = run_load_replay};
}

}  // namespace weir::cli
