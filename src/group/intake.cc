#include "group/intake.h"

#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "schema/queries/groups_admin.h"

namespace weir::group {
namespace {

constexpr std::size_t kSendLines = 1000;
constexpr std::size_t kSendBytes = std::size_t{4} << 20U;

/// Where the server has none.
std::string remedy_of(const pg::Error& error) {
  if (!error.info().hint.empty()) return error.info().hint;
  if (error.sqlstate() == "23505")
    return "The same batch has the same payload, and is final or not as it was. Another one is another "
           "index.";
  if (error.sqlstate() == "55000") return "A newer run of its group replaces it: submit it as another run.";
  return "";
}

/// What weir.submit_batch() says is for people as it is.
[[noreturn]] void refuse(const pg::Error& error, std::string_view before, std::string_view behind) {
  const bool no_feed = error.sqlstate() == "P0002";
  throw Error(no_feed ? ExitCode::definition : ExitCode::failed,
              fmt::format("{}{}{}", before, printable(error.info().message), behind), remedy_of(error));
}

}  // namespace

std::string submit(pg::Session& session, const NewBatch& batch) {
  try {
    const auto rows = session.run<sql::SubmitBatch>(batch.tenant, batch.key, pg::JsonView{batch.payload},
                                                    batch.run, batch.idx, batch.final, batch.feed, batch.rows,
                                                    batch.bytes, batch.supersede);
    return std::string(rows.one().id);
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    refuse(error, "", "");
  }
}

Intake::Intake(pg::Session& session, std::string feed, std::int64_t commit_every)
    : session_(session), feed_(std::move(feed)), commit_every_(commit_every) {}

void Intake::add(std::int64_t number, std::string line) {
  last_line_ = number;
  bytes_ += line.size();
  lines_.push_back({number, std::move(line)});
  const bool commit_due = sent_ + std::ssize(lines_) >= commit_every_;
  if (commit_due || lines_.size() >= kSendLines || bytes_ >= kSendBytes) send();
  if (commit_due) commit();
}

std::int64_t Intake::finish() {
  if (!lines_.empty()) send();
  commit();
  return committed_;
}

std::string Intake::kept() const {
  if (committed_ == 0) return "nothing was submitted";
  return fmt::format("the {} before were submitted, up to line {}", human_count(committed_), committed_line_);
}

void Intake::write(const std::vector<Line>& lines) {
  std::vector<pg::JsonView> texts;
  texts.reserve(lines.size());
  for (const Line& line : lines) texts.push_back({line.text});
  const auto rows = session_.run<sql::SubmitBatchLines>(texts, feed_);
  for (const auto& row : rows) {
    if (!first_id_) first_id_ = std::string(row.id);
    last_id_ = std::string(row.id);
  }
}

void Intake::write_one_by_one() {
  for (Line& line : lines_) {
    const std::int64_t number = line.number;
    try {
      write({std::move(line)});
    } catch (const pg::Error& error) {
      if (error.kind() != pg::ErrorKind::server) throw;
      refuse(error, fmt::format("line {}: ", number), "; " + kept());
    }
  }
}

void Intake::send() {
  if (!transaction_) transaction_.emplace(session_);
  session_.execute_script("SAVEPOINT weir_lines");
  try {
    write(lines_);
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    session_.execute_script("ROLLBACK TO SAVEPOINT weir_lines");
    write_one_by_one();
  }
  session_.execute_script("RELEASE SAVEPOINT weir_lines");
  sent_ += std::ssize(lines_);
  lines_.clear();
  bytes_ = 0;
}

void Intake::commit() {
  if (!transaction_) return;
  transaction_->commit();
  transaction_.reset();
  committed_ += sent_;
  sent_ = 0;
  committed_line_ = last_line_;
}

}  // namespace weir::group
