#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <weir/new_job.h>

#include "pg/copy_format.h"
#include "pg/session.h"

namespace weir::queue {

/// Any number of jobs within the session's open transaction, by binary COPY, in pieces of about a megabyte.
/// A user who may only call functions (weir_producer) has them written by weir.enqueue_many in the same
/// pieces. Jobs are worked on in the order in which they were added. Without unique keys: COPY cannot ask who
/// has one.
class BulkEnqueue {
 public:
  /// Throws misuse when no transaction is open: half a bulk would stay.
  explicit BulkEnqueue(pg::Session& session);

  void add(const NewJob& job);
  /// Writes the rest and wakes whoever sleeps, which PostgreSQL delivers with the commit. Answers how many
  /// there were.
  std::int64_t finish();

  [[nodiscard]] bool copies() const noexcept { return copies_; }
  /// Bytes that wait to be sent.
  [[nodiscard]] std::size_t pending_bytes() const noexcept;

 private:
  struct Queue {
    std::int32_t id = 0;
    std::int16_t max_attempts = 0;
    std::int64_t jobs = 0;
  };

  /// Rows for one table. Nothing is sent where there are none.
  class Rows {
   public:
    Rows(std::string statement, std::int16_t columns) : statement_(std::move(statement)), columns_(columns) {}
    pg::CopyBinary& begin();
    void send(pg::Session& session);
    [[nodiscard]] std::size_t bytes() const noexcept { return rows_.bytes().size(); }

   private:
    std::string statement_;
    std::int16_t columns_;
    pg::CopyBinary rows_{columns_};
    std::int64_t count_ = 0;
  };

  void encode(const NewJob& job);
  Queue& queue(const std::string& name);
  std::int64_t next_id();
  void send();

  pg::Session* session_;
  bool copies_ = false;
  WallTime now_;
  std::int64_t added_ = 0;
  std::int64_t pending_ = 0;

  std::map<std::string, Queue, std::less<>> queues_;
  std::vector<std::int64_t> ids_;  // taken from the sequence and not given out yet, the last one first
  Rows jobs_;
  Rows later_;
  Rows payloads_;

  std::vector<NewJob> kept_;  // without COPY
  std::size_t kept_bytes_ = 0;
};

}  // namespace weir::queue
