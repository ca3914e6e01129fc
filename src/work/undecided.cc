#include "work/undecided.h"

#include "schema/queries/work.h"

namespace weir::work {

void Undecided::begin(pg::Session& session) {
  const auto answer = session.run<sql::UndecidedFrom>();
  from_ = std::string(answer.one().xid);
}

bool Undecided::decided(pg::Session& session) {
  if (!from_) return true;
  const auto answer = session.run<sql::AllDecided>(*from_);
  if (answer.one().decided) from_.reset();
  return !from_;
}

}  // namespace weir::work
