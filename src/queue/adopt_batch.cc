#include "queue/adopt_batch.h"

#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "pg/transaction.h"
#include "work/bisection.h"

namespace weir::queue {
namespace {

using work::Outcome;

// The claim's columns; the key's texts follow.
constexpr int kIdentity = 0;
constexpr int kMark = 1;
constexpr int kPayload = 2;
constexpr int kKey = 3;

constexpr Duration kWarnEvery = std::chrono::minutes(1);

/// A key that is one whole number is the item's number; else its place in the batch is.
std::int64_t item_id(const pg::Result& answer, int row, std::size_t key_width) {
  std::int64_t id = row + 1;
  if (key_width != 1) return id;
  const std::string_view text = answer.bytes(row, kKey);
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() ? number : id;
}

/// A conflict, a stop or a cancellation is nobody's failure: the same batch may succeed next time.
bool blames_a_row(const pg::Error& error) {
  return error.kind() == pg::ErrorKind::decode ||
         (error.kind() == pg::ErrorKind::server && work::may_be_fault_of_an_item(error.sqlstate()));
}

bool is_failure(const Outcome& outcome) {
  return outcome.kind() == Outcome::Kind::failed || outcome.kind() == Outcome::Kind::retry ||
         outcome.kind() == Outcome::Kind::discarded;
}

}  // namespace

AdoptBatchRunner::AdoptBatchRunner(std::string source, const AdoptSql& sql, AdoptRetries& retries,
                                   work::Handler& handler, bool keeps_errors, AdoptBatchOptions options)
    : source_(std::move(source)),
      sql_(sql),
      retries_(retries),
      handler_(handler),
      keeps_errors_(keeps_errors),
      options_(options) {}

AdoptBatchReport AdoptBatchRunner::run(pg::Session& session, const std::optional<std::string>& mark,
                                       const std::stop_token& stop) {
  AdoptBatchReport report;
  stop_ = stop;
  const SteadyTime begin = steady_now();
  pg::Transaction transaction(session);
  const bool found = claim(session, mark, report);
  report.claim_took = steady_now() - begin;
  if (!found) {
    transaction.rollback();
    return report;
  }
  if (options_.transactional) {
    divide(session, [&](std::size_t first, std::size_t end) {
      run_handler(&session, first, end);
      mark_done(session, first, end);
    });
  } else {
    // What a command did is done, and is not done again to find a row that cannot be marked.
    run_handler(nullptr, 0, items_.size());
    divide(session, [&](std::size_t first, std::size_t end) { mark_done(session, first, end); });
  }
  keep_errors(session);
  note_failures();
  try {
    transaction.commit();
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    // A constraint or trigger at commit: which row is at fault nobody knows.
    refuse_all(error.what());
    note_failures();
  }
  conclude(report);
  report.took = steady_now() - begin;
  warn_if_long(report.took, report.claimed);
  return report;
}

bool AdoptBatchRunner::claim(pg::Session& session, const std::optional<std::string>& mark,
                             AdoptBatchReport& report) {
  do {
    const std::vector<std::string> excluded = retries_.held_back();
    pg::Params params = AdoptSql::claim_params(static_cast<std::int64_t>(options_.rows), mark, excluded);
    answer_ = session.execute_with(sql_.claim({.marked = mark.has_value(), .excluding = !excluded.empty()}),
                                   params);
    items_.clear();
    rows_.clear();
    const auto rows = static_cast<std::size_t>(answer_->rows());
    rows_.reserve(rows);
    for (int place = 0; place < answer_->rows(); ++place) take_row(place);
    report.claimed = rows;
    report.later = rows - rows_.size();
  } while (rows_.empty() && report.claimed > 0);
  for (std::size_t i = 0; i < rows_.size(); ++i) items_[i].error = rows_[i].error;
  const int last = answer_->rows() - 1;
  if (last >= 0 && !answer_->is_null(last, kMark))
    report.last_mark = std::string(answer_->bytes(last, kMark));
  return !rows_.empty();
}

void AdoptBatchRunner::take_row(int place) {
  std::string identity(answer_->bytes(place, kIdentity));
  AdoptRetries::Past past = retries_.past(identity);
  // Another worker had it, and let it go after we said what is not to be claimed.
  if (past.held_back) return;
  work::Item item;
  item.id = item_id(*answer_, place, sql_.key_width());
  item.source = source_;
  item.payload = answer_->bytes(place, kPayload);
  item.attempt = past.attempts + 1;
  item.max_attempts = retries_.max_attempts();
  items_.push_back(item);
  rows_.push_back(
      {.place = place, .identity = std::move(identity), .error = std::move(past.error), .outcome = {}});
}

void AdoptBatchRunner::run_handler(pg::Session* session, std::size_t begin, std::size_t end) {
  const std::span<const work::Item> all(items_);
  work::Batch batch(all.subspan(begin, end - begin), stop_, session);
  std::string left_open = "the handler left it open";
  try {
    handler_.run(batch);
  } catch (const std::exception& error) {
    if (session != nullptr) throw;
    left_open = error.what();
  }
  if (session != nullptr && !session->in_transaction())
    throw Error(
        ExitCode::failed, "the handler has ended the batch's transaction",
        "COMMIT and ROLLBACK have no place in a handler: effects and the done column commit together.");
  for (std::size_t i = begin; i < end; ++i) {
    Outcome outcome = batch.outcomes()[i - begin];
    if (outcome.is_open())
      outcome = stop_.stop_requested() ? Outcome::returned() : Outcome::failed(left_open);
    rows_[i].outcome = std::move(outcome);
  }
}

void AdoptBatchRunner::divide(pg::Session& session,
                              const std::function<void(std::size_t begin, std::size_t end)>& unit) {
  work::Bisection bisection(rows_.size());
  bool first = true;
  for (auto range = bisection.next(); range && !stop_.stop_requested(); range = bisection.next()) {
    // The part before has made the constraints immediate.
    session.execute_script(std::exchange(first, false) ? "SAVEPOINT weir_part"
                                                       : "SAVEPOINT weir_part; SET CONSTRAINTS ALL DEFERRED");
    std::string reason;
    try {
      unit(range->begin, range->end);
      // What would fail at commit is to fail here, where it can be told whose it is.
      session.execute_script("SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT weir_part");
      bisection.succeeded();
      continue;
    } catch (const pg::Error& error) {
      if (!session.is_open() || !blames_a_row(error)) throw;
      reason = error.what();
    } catch (const std::exception& error) {
      if (!session.in_transaction()) throw;
      reason = error.what();
    }
    session.execute_script("ROLLBACK TO SAVEPOINT weir_part; RELEASE SAVEPOINT weir_part");
    if (bisection.failed()) rows_[range->begin].outcome = Outcome::failed(reason);
  }
  for (const work::Bisection::Range& range : bisection.untried()) {
    for (std::size_t i = range.begin; i < range.end; ++i) rows_[i].outcome = Outcome::returned();
  }
}

void AdoptBatchRunner::mark_done(pg::Session& session, std::size_t begin, std::size_t end) {
  std::vector<std::size_t> done;
  for (std::size_t i = begin; i < end; ++i) {
    if (rows_[i].outcome.is_done()) done.push_back(i);
  }
  if (done.empty()) return;
  const auto keys = keys_of(done);
  const auto params = [&] {
    pg::Params made;
    for (const auto& key : keys) made.add(key);
    return made;
  };
  pg::Params marking = params();
  const auto marked = session.execute_with(sql_.mark_done(), marking).affected();
  if (static_cast<std::size_t>(marked) == done.size()) return;
  // A handler may delete its rows. Any other row that was not reached would come again and again.
  pg::Params looking = params();
  const bool moved = !sql_.has_key();
  const auto pending =
      moved ? std::int64_t{1} : session.execute_with(sql_.still_pending(), looking)[0].get<std::int64_t>(0);
  if (pending == 0) return;
  throw Error(ExitCode::failed,
              moved ? fmt::format("a row of {} is no longer in its place: the handler has updated or deleted "
                                  "it, and the table has no primary key",
                                  source_)
                    : fmt::format("a trigger or rule of {} keeps rows from being marked as done", source_));
}

void AdoptBatchRunner::keep_errors(pg::Session& session) {
  std::vector<std::size_t> lost;
  std::vector<std::string> errors;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const Outcome& outcome = rows_[i].outcome;
    rows_[i].gives_up = outcome.kind() == Outcome::Kind::discarded ||
                        (is_failure(outcome) && retries_.would_give_up(rows_[i].identity));
    if (!rows_[i].gives_up) continue;
    lost.push_back(i);
    errors.push_back(printable(outcome.text()));
  }
  if (lost.empty() || !keeps_errors_) return;
  const auto keys = keys_of(lost);
  pg::Params params;
  for (const auto& key : keys) params.add(key);
  params.add(errors);
  session.execute_with(sql_.mark_failed(), params);
}

void AdoptBatchRunner::refuse_all(const std::string& error) {
  for (Row& row : rows_) {
    if (row.outcome.is_done()) row.outcome = Outcome::failed(error);
    row.gives_up = row.gives_up && !keeps_errors_;
  }
}

void AdoptBatchRunner::note_failures() {
  for (Row& row : rows_) {
    const Outcome& outcome = row.outcome;
    if (row.noted) continue;
    if (outcome.kind() == Outcome::Kind::snoozed) {
      retries_.later(row.identity, outcome.delay());
    } else if (is_failure(outcome) && !(row.gives_up && keeps_errors_)) {
      const bool named = outcome.kind() == Outcome::Kind::retry;
      retries_.failed(row.identity, outcome.text(), named ? std::optional(outcome.delay()) : std::nullopt,
                      row.gives_up);
    } else {
      continue;
    }
    row.noted = true;
  }
}

void AdoptBatchRunner::conclude(AdoptBatchReport& report) {
  for (const Row& row : rows_) {
    const Outcome& outcome = row.outcome;
    // What the table says of a row needs no memory.
    if (outcome.is_done() || (row.gives_up && keeps_errors_)) retries_.forget(row.identity);
    if (outcome.is_done()) {
      ++report.done;
    } else if (!is_failure(outcome)) {
      ++report.later;
    } else {
      ++(row.gives_up ? report.given_up : report.failed);
      log::warn(row.gives_up ? "a row was given up" : "a row failed",
                {{"table", source_}, {"row", row.identity}, {"error", elide(outcome.text(), 300)}});
    }
  }
  retries_.check_size();
}

std::vector<std::vector<std::string>> AdoptBatchRunner::keys_of(
    const std::vector<std::size_t>& chosen) const {
  std::vector<std::vector<std::string>> keys(sql_.key_width());
  for (std::size_t part = 0; part < keys.size(); ++part) {
    keys[part].reserve(chosen.size());
    for (const std::size_t row : chosen)
      keys[part].emplace_back(answer_->bytes(rows_[row].place, kKey + static_cast<int>(part)));
  }
  return keys;
}

void AdoptBatchRunner::warn_if_long(Duration took, std::size_t rows) {
  if (took <= options_.budget || steady_now() < warn_again_) return;
  warn_again_ = steady_now() + kWarnEvery;
  log::warn("a batch held its transaction for longer than its budget; a smaller --batch would not",
            {{"table", source_},
             {"rows", rows},
             {"took", human_duration(took)},
             {"budget", human_duration(options_.budget)}});
}

}  // namespace weir::queue
