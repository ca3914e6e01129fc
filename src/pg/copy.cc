#include "pg/copy.h"

namespace weir::pg {
namespace {

/// For giving up on a COPY in a destructor.
constexpr Duration kAbandonSpan = std::chrono::seconds(2);

}  // namespace

CopyIn::CopyIn(Session& session, const std::string& sql) : session_(&session) {
  session.begin_copy(sql, Result::Status::copy_in);
}

CopyIn::~CopyIn() {
  if (!open_ || !session_->is_open()) return;
  session_->busy_with_ = {};
  const Limit within = Limit::within(kAbandonSpan);
  try {
    session_->wire_.put_copy_end("abandoned by the client", within);
    while (session_->wire_.next_result(within)) {
    }
  } catch (...) {
    session_->close();
  }
}

void CopyIn::write(std::string_view bytes) {
  session_->owner_.check("a PostgreSQL session");
  if (!open_) raise({.kind = ErrorKind::misuse, .message = "the COPY has ended already"});
  session_->wire_.put_copy_data(bytes, session_->limit());
}

std::int64_t CopyIn::finish() {
  session_->owner_.check("a PostgreSQL session");
  if (!open_) raise({.kind = ErrorKind::misuse, .message = "the COPY has ended already"});
  open_ = false;
  session_->busy_with_ = {};
  session_->wire_.put_copy_end(nullptr, session_->limit());
  return session_->finish().affected();
}

CopyOut::CopyOut(Session& session, const std::string& sql) : session_(&session) {
  session.begin_copy(sql, Result::Status::copy_out);
}

CopyOut::~CopyOut() {
  if (!open_ || !session_->is_open()) return;
  session_->busy_with_ = {};
  session_->close();
}

std::optional<std::string_view> CopyOut::next() {
  session_->owner_.check("a PostgreSQL session");
  if (!open_) return std::nullopt;
  if (std::optional<Wire::CopyChunk> chunk = session_->wire_.get_copy_data(session_->limit())) {
    chunk_ = std::move(*chunk);
    return std::string_view(chunk_.memory.get(), chunk_.size);
  }
  open_ = false;
  session_->busy_with_ = {};
  rows_ = session_->finish().affected();
  return std::nullopt;
}

}  // namespace weir::pg
