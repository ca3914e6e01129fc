#pragma once

#include <optional>

#include <weir/sql.h>

#include "pg/pool.h"
#include "pg/result.h"
#include "pg/transaction.h"

namespace weir {

struct Rows::Data {
  pg::Result result;
};

struct Sql::State {
  /// Of a job: the transaction is the runtime's.
  explicit State(pg::Session& of_job) noexcept : session(&of_job) {}
  /// Of a caller.
  explicit State(pg::Lease from_pool)
      : lease(std::move(from_pool)), session(&**lease), own(std::in_place, *session) {}

  std::optional<pg::Lease> lease;
  pg::Session* session;
  std::optional<pg::Transaction> own;
  /// Why no statement can succeed any more; empty while all went well.
  std::string failure{};
};

}  // namespace weir
