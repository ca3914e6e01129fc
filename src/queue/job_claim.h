#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pg/rows.h"
#include "queue/queue_settings.h"
#include "work/claim_source.h"

namespace weir::queue {

/// Jobs that one process took at once. The items view the server's answer, which it keeps.
class JobClaim final : public work::Claim {
 public:
  /// What a job has besides its item.
  struct Job {
    std::int64_t seq = 0;
    std::int16_t priority = 0;
    bool is_large = false;  ///< its payload is in weir.job_payload
    std::optional<std::string_view> unique_key;
    std::optional<std::string_view> limit_key;
  };

  /// `rows` of any of the claim queries, which was `asked` then: they have the same columns.
  template <class NamedQuery>
  JobClaim(std::int64_t number, SteadyTime asked, pg::Rows<NamedQuery> rows,
           std::shared_ptr<const QueueSettings> settings);

  [[nodiscard]] std::span<const work::Item> items() const noexcept override { return items_; }
  [[nodiscard]] std::optional<Duration> timeout() const noexcept override { return settings_->timeout; }

  /// Counted by this process; with its life's id it names the claim.
  [[nodiscard]] std::int64_t number() const noexcept { return number_; }
  [[nodiscard]] const QueueSettings& settings() const noexcept { return *settings_; }
  [[nodiscard]] std::span<const Job> jobs() const noexcept { return jobs_; }
  /// The most urgent one.
  [[nodiscard]] const Job& first() const noexcept { return jobs_.front(); }
  /// From its enqueueing to `began`; nothing of a job that was delayed or tried before.
  [[nodiscard]] std::optional<Duration> waited(std::size_t index, SteadyTime began) const;
  /// Whether a job that is done leaves nothing behind but its claim.
  [[nodiscard]] bool is_plain() const noexcept { return plain_; }

  [[nodiscard]] bool is_heavy(std::size_t index) const noexcept override { return jobs_[index].is_large; }
  void load(std::size_t index, pg::Session& session) override;
  void unload(std::size_t index) noexcept override;

  /// How many are settled already; used by JobSource::settle() alone.
  std::size_t settled = 0;

 private:
  /// The server answers in this order as a rule, and promises nothing.
  void sort();

  std::int64_t number_;
  SteadyTime asked_;
  WallTime asked_at_{};  ///< the same by the server's clock
  std::shared_ptr<const void> answer_;
  std::shared_ptr<const QueueSettings> settings_;
  bool plain_ = true;
  std::vector<work::Item> items_;
  std::vector<Job> jobs_;
  std::vector<std::string>
      payloads_;  // of large jobs, by index; each is touched by the slot that has the job
};

template <class NamedQuery>
JobClaim::JobClaim(std::int64_t number, SteadyTime asked, pg::Rows<NamedQuery> rows,
                   std::shared_ptr<const QueueSettings> settings)
    : number_(number),
      asked_(asked),
      settings_(std::move(settings)),
      plain_(!settings_->limited && !settings_->keeps_history) {
  const auto answer = std::make_shared<const pg::Rows<NamedQuery>>(std::move(rows));
  answer_ = answer;
  if (!answer->empty()) asked_at_ = (*answer)[0].asked_at;
  items_.reserve(static_cast<std::size_t>(answer->size()));
  jobs_.reserve(static_cast<std::size_t>(answer->size()));
  for (const auto& row : *answer) {
    const bool is_large = !row.payload.has_value();
    items_.push_back({.id = row.id,
                      .source = settings_->name,
                      .kind = row.kind,
                      .payload = is_large ? std::string_view() : row.payload->text,
                      .attempt = row.attempt,
                      .max_attempts = row.max_attempts,
                      .error = row.error.value_or(std::string_view()),
                      .created_at = row.created_at,
                      .deadline = row.deadline_at});
    jobs_.push_back({row.seq, row.priority, is_large, row.unique_key, row.limit_key});
    if (is_large || row.unique_key || row.limit_key) plain_ = false;
    if (is_large) payloads_.resize(static_cast<std::size_t>(answer->size()));
  }
  sort();
}

}  // namespace weir::queue
