#pragma once

#include <cstdint>
#include <string_view>

namespace weir::pg {

using Oid = std::uint32_t;

/// The types that Weir sends and reads in binary; their numbers are part of PostgreSQL's catalogue and never
/// change.
namespace oid {
inline constexpr Oid kInferred = 0;  ///< of a parameter: the server decides
inline constexpr Oid kUnknown = 705;
inline constexpr Oid kBool = 16;
inline constexpr Oid kBytea = 17;
inline constexpr Oid kName = 19;
inline constexpr Oid kInt8 = 20;
inline constexpr Oid kInt2 = 21;
inline constexpr Oid kInt4 = 23;
inline constexpr Oid kText = 25;
inline constexpr Oid kOid = 26;
inline constexpr Oid kJson = 114;
inline constexpr Oid kFloat4 = 700;
inline constexpr Oid kFloat8 = 701;
inline constexpr Oid kBpchar = 1042;
inline constexpr Oid kVarchar = 1043;
inline constexpr Oid kDate = 1082;
inline constexpr Oid kTime = 1083;
inline constexpr Oid kTimestamp = 1114;
inline constexpr Oid kTimestamptz = 1184;
inline constexpr Oid kNumeric = 1700;
inline constexpr Oid kVoid = 2278;
inline constexpr Oid kUuid = 2950;
inline constexpr Oid kJsonb = 3802;
inline constexpr Oid kBoolArray = 1000;
inline constexpr Oid kByteaArray = 1001;
inline constexpr Oid kInt2Array = 1005;
inline constexpr Oid kInt4Array = 1007;
inline constexpr Oid kTextArray = 1009;
inline constexpr Oid kInt8Array = 1016;
inline constexpr Oid kFloat4Array = 1021;
inline constexpr Oid kFloat8Array = 1022;
inline constexpr Oid kTimestamptzArray = 1185;
inline constexpr Oid kUuidArray = 2951;
inline constexpr Oid kJsonbArray = 3807;
}  // namespace oid

/// For messages: "int8", "text[]"; "type 1234" for one that Weir does not know.
std::string_view type_name(Oid type);

}  // namespace weir::pg
