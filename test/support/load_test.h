#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "load/write/apply.h"
#include "load/write/run.h"
#include "support/database.h"

namespace weir::test {

/// A test of loads: a database with Weir's schema, and rows that come from SQL instead of a file.
class LoadTest : public SchemaTest {
 protected:
  /// For the part that applies.
  [[nodiscard]] std::function<pg::Session()> connect() const;
  load::Target target(const std::string& table, const std::string& partition = {});
  /// Begins a run and fills its stage with the rows of `rows` (columns as spec.columns, in the stage's
  /// types). The stage is free afterwards, so that the next one takes it: apply before.
  load::Stage::Sealed stage(const load::Target& target, const load::LoadSpec& spec, const std::string& rows,
                            const std::vector<load::Reject>& rejects = {},
                            const std::string& rejected_keys = {});
  /// All of it: describes, stages, applies.
  load::Applied load(const std::string& table, const load::LoadSpec& spec, const std::string& rows,
                     const load::ApplyOptions& options = {});
  /// "1|a,2|b": the rows of a query, in its order.
  std::string rows(const std::string& sql);
  std::int64_t number(const std::string& sql);
  void run(const std::string& sql);

 private:
  load::Stage::Sealed fill(load::Stage& stage, const std::string& rows,
                           const std::vector<load::Reject>& rejects, const std::string& rejected_keys);
};

}  // namespace weir::test
