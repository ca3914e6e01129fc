#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::pipeline::yaml {

/// Where a node begins, from 1; columns in characters. 0:0 is the file as a whole.
struct Place {
  int line = 0;
  int column = 0;
  bool operator==(const Place&) const = default;
};

struct Member;

/// A value of a YAML document as it was written. What its text means is asked by who knows what it should be
/// (scalar.h), so that `no`, `1.10` and `010` stay what they are where a text is wanted.
struct Node {
  enum class Kind : std::uint8_t { null, scalar, sequence, mapping };

  Kind kind = Kind::null;
  bool quoted = false;  ///< a scalar in quotes or a block scalar: always a text
  std::string text{};   ///< of a scalar
  std::vector<Node> items{};
  /// In the order of the file; no key twice. Without braces: Member is not complete yet, which clang minds.
  std::vector<Member> members;
  Place place{};
  std::size_t offset = 0;  ///< of `place` in the source that was parsed, in bytes

  [[nodiscard]] bool is_scalar() const noexcept { return kind == Kind::scalar; }
  [[nodiscard]] bool is_mapping() const noexcept { return kind == Kind::mapping; }
  [[nodiscard]] bool is_sequence() const noexcept { return kind == Kind::sequence; }
  [[nodiscard]] bool is_null() const noexcept { return kind == Kind::null; }
  [[nodiscard]] const Member* find(std::string_view key) const noexcept;
};

struct Member {
  Node key;  ///< a scalar
  Node value;
};

/// "a list", "a mapping", "a number", .. for messages.
std::string_view describe(const Node& node) noexcept;

}  // namespace weir::pipeline::yaml
