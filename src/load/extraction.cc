#include "load/extraction.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "load/pace.h"
#include "load/value/row_encoder.h"

namespace weir::load {
namespace {

constexpr std::size_t kRejectBytes = std::size_t{8} << 20U;
constexpr std::size_t kToldRejects = 5;
/// A slow source does not keep a transaction open: that would hold back the vacuum of the whole database. So
/// one is begun when there is something to write, and where the next piece takes longer than this it is ended
/// at once.
constexpr Duration kSlow = std::chrono::milliseconds(500);

std::string describe(const Reject& reject) {
  return fmt::format("{}{}line {}{}{}: {}", printable(reject.file), reject.file.empty() ? "" : ", ",
                     reject.line, reject.column.empty() ? "" : ", column ", printable(reject.column),
                     printable(reject.reason));
}

}  // namespace

Extraction::Extraction(SampledReader& reader, pg::Session& session, Stage& stage, Evolution& evolution,
                       const LoadOptions& options, OnProgress on_progress)
    : reader_(reader),
      session_(session),
      stage_(stage),
      evolution_(evolution),
      router_(evolution.router(true)),
      options_(options),
      on_progress_(std::move(on_progress)) {}

Extraction::Totals Extraction::run(const std::stop_token& stop) {
  stop_ = stop;
  // A stop is looked for between two records: what was read until then is worth its commit.
  session_.set_stop({});
  skip_resumed(stop);
  for (;;) {
    if (totals_.records % kRecordsBetweenLooks == 0) {
      if (stop.stop_requested()) break;
      tell();
    }
    const std::optional<Record> record = reader_.next();
    if (!record) {
      if (begun_ || totals_.chunks == 0) commit();  // the stage of an empty source has one empty chunk
      judge_rejects(true);
      tell();
      return totals_;
    }
    take(*record);
  }
  if (begun_) commit();
  throw Error(ExitCode::interrupted,
              fmt::format("the load was stopped after {} records; {} is as it was",
                          human_count(static_cast<std::int64_t>(totals_.records)), options_.target),
              options_.fingerprint.empty()
                  ? "Run it again: this kind of source is read from its beginning."
                  : "Run the same command again: what was read is kept, and it goes on from there.");
}

void Extraction::skip_resumed(const std::stop_token& stop) {
  if (!stage_.resume()) return;
  const Stage::Resume& resume = *stage_.resume();
  totals_.chunks = resume.chunk + 1;
  totals_.rejected = static_cast<std::uint64_t>(resume.rejects);
  const nlohmann::json position = nlohmann::json::parse(resume.position);
  totals_.resumed_from = position.at("records").get<std::uint64_t>();
  // Not of a piece that an older Weir has staged.
  if (position.contains("losses")) evolution_.losses() = Losses::from_json(position["losses"].dump());
  for (; totals_.records < totals_.resumed_from; ++totals_.records) {
    if (totals_.records % kRecordsBetweenLooks == 0 && stop.stop_requested()) return;
    if (reader_.next()) continue;
    throw Error(ExitCode::failed,
                fmt::format("{} ends before the place where its load was broken off", options_.source),
                "It was changed meanwhile. Say --restart to read it from its beginning.");
  }
}

void Extraction::take(const Record& record) {
  auto reject = add(record);
  ++totals_.records;
  ++chunk_records_;
  if (reject) {
    ++totals_.rejected;
    if (first_rejects_.size() < kToldRejects) first_rejects_.push_back(describe(*reject));
    reject_bytes_ += sizeof(Reject) + reject->raw.size() + reject->reason.size() + reject->file.size();
    rejects_.push_back(std::move(*reject));
    if (!options_.spec.rejects.share) judge_rejects(false);
  }
  if (rows_.size() >= kWriteBytes) {
    flush();
    const bool slow = steady_now() - std::exchange(piece_began_, steady_now()) > kSlow;
    if (slow) return commit();
  }
  if (chunk_bytes_ >= options_.chunk_bytes || reject_bytes_ >= kRejectBytes) commit();
}

/// The record's row, after as many changes of the stage as it takes: each makes it wider, so they end.
std::optional<Reject> Extraction::add(const Record& record) {
  const Record* at_hand = &record;
  for (;;) {
    begin_chunk(*at_hand);
    const std::size_t before = rows_.size();
    auto reject = router_.add(*at_hand, totals_.chunks, rows_);
    if (!reject || !evolution_.helps(router_, *at_hand)) return reject;
    rows_.resize(before);
    put_down();
    const Drift change = evolution_.mend(router_, *at_hand);
    at_hand = &reader_.held(0);
    session_.set_stop(stop_);
    stage_.change(session_, change);
    session_.set_stop({});
    router_ = evolution_.router(true);
  }
}

/// Each file begins a chunk, so that what SQL finds in the stage later can be told with its file.
void Extraction::begin_chunk(const Record& record) {
  if (begun_ && record.file != chunk_file_) put_down();
  if (std::exchange(begun_, true)) return;
  piece_began_ = steady_now();
  chunk_file_ = record.file;
  RowEncoder::begin(rows_);
}

/// Commits the chunk as far as it is, if it holds anything.
void Extraction::put_down() {
  if (chunk_records_ > 0) {
    commit();
  } else {
    begun_ = false;
    rows_.clear();
  }
}

void Extraction::flush() {
  if (!chunk_) chunk_.emplace(session_, stage_, totals_.chunks);
  chunk_->write(rows_);
  chunk_bytes_ += rows_.size();
  rows_.clear();
}

void Extraction::commit() {
  if (!std::exchange(begun_, false)) RowEncoder::begin(rows_);
  RowEncoder::end(rows_);
  flush();
  nlohmann::json position{{"records", totals_.records}};
  if (!chunk_file_.empty()) position["file"] = chunk_file_;
  position["losses"] = nlohmann::json::parse(evolution_.losses().to_json());
  chunk_->commit(position.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), rejects_);
  chunk_.reset();
  rejects_.clear();
  reject_bytes_ = 0;
  chunk_bytes_ = 0;
  chunk_records_ = 0;
  ++totals_.chunks;
}

void Extraction::judge_rejects(bool at_end) const {
  const RejectLimit& limit = options_.spec.rejects;
  if (limit.allows(static_cast<std::int64_t>(totals_.rejected), static_cast<std::int64_t>(totals_.records)))
    return;
  std::string list;
  for (const std::string& each : first_rejects_) list += "\n  " + each;
  throw Error(
      ExitCode::refused,
      fmt::format("{} of {} records cannot be loaded, and {}; {} is as it was{}", totals_.rejected,
                  totals_.records, limit.text(), options_.target, list),
      at_end ? fmt::format("Mend them, or allow them; the table may refuse more: at least --max-rejects {}",
                           totals_.rejected)
             : "Nothing behind the last of these was read. Mend them, or allow more: --max-rejects N, or P%");
}

void Extraction::tell() {
  if (!on_progress_ || steady_now() - told_ < kTellInterval) return;
  told_ = steady_now();
  on_progress_(totals_, reader_.progress());
}

}  // namespace weir::load
