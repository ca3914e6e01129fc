#pragma once

#include <string_view>

#include "pg/session.h"

namespace weir::pg {

enum class Isolation { read_committed, repeatable_read, serializable };

struct TransactionOptions {
  Isolation isolation = Isolation::read_committed;
  bool read_only = false;
};

/// The scope of a transaction: rolled back at its end unless it was committed. Nothing else begins or ends
/// one.
class Transaction {
 public:
  explicit Transaction(Session& session, TransactionOptions options = {});
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  /// Throws InDoubt when the session goes before the answer came. When the transaction had failed earlier the
  /// server answers COMMIT with a rollback: that is an error here, never a silent loss.
  void commit();
  void rollback();

  /// SET LOCAL, with the name and the value as parameters.
  void set_local(std::string_view name, std::string_view value);

  [[nodiscard]] Session& session() noexcept { return *session_; }
  [[nodiscard]] bool is_open() const noexcept { return open_; }

 private:
  Session* session_;
  bool open_ = true;
};

}  // namespace weir::pg
