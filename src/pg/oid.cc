#include "pg/oid.h"

#include <string>

namespace weir::pg {

std::string_view type_name(Oid type) {
  switch (type) {
    case oid::kUnknown: return "unknown";
    case oid::kBool: return "bool";
    case oid::kBytea: return "bytea";
    case oid::kName: return "name";
    case oid::kInt8: return "int8";
    case oid::kInt2: return "int2";
    case oid::kInt4: return "int4";
    case oid::kText: return "text";
    case oid::kOid: return "oid";
    case oid::kJson: return "json";
    case oid::kFloat4: return "float4";
    case oid::kFloat8: return "float8";
    case oid::kBpchar: return "char";
    case oid::kVarchar: return "varchar";
    case oid::kDate: return "date";
    case oid::kTime: return "time";
    case oid::kTimestamp: return "timestamp";
    case oid::kNumeric: return "numeric";
    case oid::kTimestamptz: return "timestamptz";
    case oid::kVoid: return "void";
    case oid::kUuid: return "uuid";
    case oid::kJsonb: return "jsonb";
    case oid::kBoolArray: return "bool[]";
    case oid::kByteaArray: return "bytea[]";
    case oid::kInt2Array: return "int2[]";
    case oid::kInt4Array: return "int4[]";
    case oid::kTextArray: return "text[]";
    case oid::kInt8Array: return "int8[]";
    case oid::kFloat4Array: return "float4[]";
    case oid::kFloat8Array: return "float8[]";
    case oid::kTimestamptzArray: return "timestamptz[]";
    case oid::kUuidArray: return "uuid[]";
    case oid::kJsonbArray: return "jsonb[]";
    default: break;
  }
  thread_local std::string other;
  other = "type " + std::to_string(type);
  return other;
}

}  // namespace weir::pg
