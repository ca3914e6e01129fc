#pragma once

#include <string_view>
#include <vector>

#include "load/load.h"
#include "load/read/sampled_reader.h"

namespace weir::load {

/// PostgreSQL's limit is 1600, and the stage has two of its own.
inline constexpr std::size_t kMostColumns = 1598;
/// A table of more bytes is not written anew in passing.
inline constexpr std::int64_t kMostRewritten = std::int64_t{64} << 20U;

/// What a load will be, found from its sample and the catalogue, and what became of that while it was read
/// (Evolution). The target itself is as it was until prepare_target().
struct LoadShape {
  Target target;  ///< as it will be
  bool exists = false;
  Target found{};                    ///< as it is, where it exists
  std::string partition{};           ///< the one that is replaced, of which is known what hangs on it
  TableName name;                    ///< with the schema that it is in, or will be
  std::vector<NewColumn> created{};  ///< of a target that does not exist
  std::vector<std::string> created_key{};
  Matching matching;
  Drift drift{};                       ///< of a target that exists
  std::optional<Altered> altered{};    ///< once it was changed
  std::vector<std::string> columns{};  ///< of the stage
  std::vector<ColumnType> types{};     ///< of the stage
  std::vector<std::string> said{};     ///< columns whose type the user has said

  /// The load itself makes the column: its type is ours to choose.
  [[nodiscard]] bool makes(std::string_view column) const;
};

/// Throws (definition, refused) what the user has to mend.
LoadShape find_shape(pg::Session& session, const SampledReader& reader, const LoadOptions& options);

/// Whether a column of the shape may get the type: one that the load makes any, unless it was said; one that
/// is there where that can be done to it, in passing.
bool may_become(const LoadShape& shape, const std::string& column, const ColumnType& type);

/// Creates or changes the target as the shape says, each in its own short transaction, and describes it anew.
/// True if it was created. Throws where it has become another one meanwhile.
bool prepare_target(pg::Session& session, LoadShape& shape);

/// After TargetMoved: looks at the table that has the name now, which becomes the shape's. False where there
/// is none, or it is the one that the shape has. Throws refused where what was read does not go into it.
bool look_again(pg::Session& session, LoadShape& shape);

}  // namespace weir::load
