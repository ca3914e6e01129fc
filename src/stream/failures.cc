#include "stream/failures.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "schema/queries/streams.h"
#include "work/settling.h"

namespace weir::stream {
namespace {

constexpr Duration kPutOff = std::chrono::seconds(10);
/// Of an error's text.
constexpr std::size_t kMostError = 100'000;

}  // namespace

void Failures::add(std::int64_t number, const work::Outcome& outcome, int attempt) {
  const work::Decision decision =
      work::decide(outcome, attempt, group_.max_attempts, false, false, group_.backoff, random_unit());
  if (decision.action == work::Action::done) return;
  const bool dead = decision.action == work::Action::dead;
  const bool counts = dead || decision.action == work::Action::later;
  push(number, counts ? attempt : attempt - 1, dead ? std::nullopt : std::optional(decision.delay),
       outcome.text());
}

void Failures::put_off(std::int64_t number, std::string why, int attempt) {
  push(number, attempt - 1, kPutOff, why);
}

void Failures::push(std::int64_t number, int attempt, std::optional<Duration> delay, std::string_view error) {
  numbers_.push_back(number);
  attempts_.push_back(static_cast<std::int16_t>(attempt));
  delays_ms_.push_back(delay ? std::optional(std::chrono::ceil<std::chrono::milliseconds>(*delay).count())
                             : std::nullopt);
  errors_.push_back(storable_text(error.substr(0, kMostError)));
  ++(delay ? again_ : dead_);
}

void Failures::write(pg::Session& session, const StreamSql& sql, const GroupWork& work) {
  const std::vector<std::string_view> errors(errors_.begin(), errors_.end());
  if (const auto* letters = std::get_if<Letters>(&work.events)) {
    session.run<sql::SettleStreamLetters>(ids_of(*letters), numbers_, attempts_, delays_ms_, errors);
  } else if (!numbers_.empty()) {
    session.execute(sql.add_letters(std::get<Chunk>(work.events)), group_.id, numbers_, attempts_, delays_ms_,
                    errors);
  }
  numbers_.clear();
  attempts_.clear();
  delays_ms_.clear();
  errors_.clear();
}

}  // namespace weir::stream
