// Values as a server, or somebody who pretends to be one, may send them: each is refused or survives being
// written and read again.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pg/value.h"

namespace {

namespace oid = weir::pg::oid;
using weir::pg::Codec;
using weir::pg::Oid;

/// Read under the type that the input claims, then written and read again: the second writing must be the
/// first.
template <class T>
void try_type(Oid type, std::string_view bytes) {
  try {
    const T value = Codec<T>::decode(type, bytes);
    std::string written;
    Codec<T>::encode(written, value);
    const T again = Codec<T>::decode(Codec<T>::kOid, written);
    std::string rewritten;
    Codec<T>::encode(rewritten, again);
    if (written != rewritten) std::abort();
  } catch (const weir::pg::DecodeFailure& failure) {
    if (failure.reason.empty()) std::abort();
  }
}

constexpr Oid kTypes[] = {oid::kBool,
                          oid::kBytea,
                          oid::kName,
                          oid::kInt8,
                          oid::kInt2,
                          oid::kInt4,
                          oid::kText,
                          oid::kOid,
                          oid::kJson,
                          oid::kFloat4,
                          oid::kFloat8,
                          oid::kVarchar,
                          oid::kTimestamptz,
                          oid::kUuid,
                          oid::kJsonb,
                          oid::kBoolArray,
                          oid::kInt4Array,
                          oid::kTextArray,
                          oid::kTimestamptzArray,
                          oid::kUuidArray,
                          oid::kInt8Array,
                          oid::kByteaArray,
                          oid::kJsonbArray,
                          oid::kUnknown,
                          4711};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Oid type = kTypes[data[0] % std::size(kTypes)];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  try_type<bool>(type, bytes);
  try_type<std::int16_t>(type, bytes);
  try_type<std::int32_t>(type, bytes);
  try_type<std::int64_t>(type, bytes);
  try_type<float>(type, bytes);
  try_type<double>(type, bytes);
  try_type<weir::WallTime>(type, bytes);
  try_type<weir::pg::Uuid>(type, bytes);
  try_type<std::string_view>(type, bytes);
  try_type<weir::pg::BytesView>(type, bytes);
  try_type<weir::pg::JsonView>(type, bytes);
  try_type<std::vector<std::int32_t>>(type, bytes);
  try_type<std::vector<std::optional<std::int64_t>>>(type, bytes);
  try_type<std::vector<bool>>(type, bytes);
  try_type<std::vector<std::string>>(type, bytes);
  try_type<std::vector<std::optional<weir::pg::Uuid>>>(type, bytes);
  try_type<std::vector<weir::WallTime>>(type, bytes);
  // A UUID's text comes from users as well.
  if (const auto uuid = weir::pg::Uuid::parse(bytes);
      uuid && weir::pg::Uuid::parse(uuid->to_string()) != uuid) {
    std::abort();
  }
  return 0;
}
