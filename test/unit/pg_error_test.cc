#include <array>
#include <bit>
#include <limits>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pg/error.h"
#include "pg/identifier.h"
#include "pg/oid.h"
#include "pg/role.h"
#include "pg/value.h"

namespace weir::pg {
namespace {

/// The type that is thrown for a kind, as a caller's catch clauses see it.
std::string caught_as(ErrorKind kind) {
  try {
    raise({.kind = kind, .message = "m"});
  } catch (const ConnectionLost& error) {
    return error.kind() == kind ? "ConnectionLost" : "wrong kind";
  } catch (const InDoubt& error) {
    return error.kind() == kind ? "InDoubt" : "wrong kind";
  } catch (const LockTimeout& error) {
    return error.kind() == kind ? "LockTimeout" : "wrong kind";
  } catch (const Retryable& error) {
    return error.kind() == kind ? "Retryable" : "wrong kind";
  } catch (const Cancelled& error) {
    return error.kind() == kind ? "Cancelled" : "wrong kind";
  } catch (const Error& error) {
    return error.kind() == kind ? "Error" : "wrong kind";
  }
}

TEST(ErrorKinds, EachHasItsNameItsTypeAndItsExitCode) {
  const struct {
    ErrorKind kind;
    const char* name;
    const char* type;
    ExitCode code;
  } table[] = {{ErrorKind::connect, "connect", "ConnectionLost", ExitCode::database},
               {ErrorKind::lost, "lost", "ConnectionLost", ExitCode::database},
               {ErrorKind::in_doubt, "in_doubt", "InDoubt", ExitCode::database},
               {ErrorKind::deadline, "deadline", "ConnectionLost", ExitCode::database},
               {ErrorKind::stopped, "stopped", "Cancelled", ExitCode::interrupted},
               {ErrorKind::cancelled, "cancelled", "Cancelled", ExitCode::failed},
               {ErrorKind::lock_timeout, "lock_timeout", "LockTimeout", ExitCode::failed},
               {ErrorKind::retryable, "retryable", "Retryable", ExitCode::failed},
               {ErrorKind::server, "server", "Error", ExitCode::failed},
               {ErrorKind::decode, "decode", "Error", ExitCode::failed},
               {ErrorKind::exhausted, "exhausted", "Error", ExitCode::database},
               {ErrorKind::misuse, "misuse", "Error", ExitCode::failed}};
  for (const auto& row : table) {
    EXPECT_EQ(to_string(row.kind), row.name);
    EXPECT_EQ(caught_as(row.kind), row.type) << row.name;
    EXPECT_EQ(Error({.kind = row.kind, .message = "m"}).exit_code(), row.code) << row.name;
  }
}

/// What an SQL parser would take the quoted text for; nothing when the quotes do not hold it.
std::optional<std::string> unquoted(std::string_view text, char quote, bool backslashes) {
  if (text.size() < 2 || text.front() != quote || text.back() != quote) return std::nullopt;
  text = text.substr(1, text.size() - 2);
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escapes = text[at] == quote || (backslashes && text[at] == '\\');
    if (escapes && (++at == text.size() || text[at] != text[at - 1])) return std::nullopt;
    out.push_back(text[at]);
  }
  return out;
}

rc::Gen<std::string> sql_text() {
  return rc::gen::nonEmpty(rc::gen::container<std::string>(
      rc::gen::oneOf(rc::gen::elementOf(std::string("\"'\\;- E\n")), rc::gen::inRange<char>(1, 127))));
}

RC_GTEST_PROP(Quoting, AnIdentifierComesBack, ()) {
  const std::string name = *sql_text();
  RC_ASSERT(unquoted(quote_identifier(name), '"', false) == name);
}

RC_GTEST_PROP(Quoting, ALiteralComesBackUnderEitherSettingOfTheServer, ()) {
  const std::string text = *sql_text();
  std::string_view literal;
  const std::string quoted = quote_literal(text);
  literal = quoted;
  const bool escape_form = literal.starts_with(" E'");
  if (escape_form) literal.remove_prefix(2);
  RC_ASSERT(unquoted(literal, '\'', escape_form) == text);
  // Without the E the server's setting decides what a backslash means, so there must be none.
  RC_ASSERT(escape_form || quoted.find('\\') == std::string::npos);
}

RC_GTEST_PROP(RoleNames, FitPostgresAndKeepTheirHead, (const std::string& id)) {
  for (const Role role : kRoles) {
    const std::string whole = "weir:" + std::string(to_string(role)) + ":" + id;
    const std::string name = application_name(role, id);
    RC_ASSERT(name.size() <= 63U);
    RC_ASSERT(whole.starts_with(name));
  }
}

TEST(RoleNames, AreDifferent) {
  std::set<std::string_view> names;
  for (const Role role : kRoles) names.insert(to_string(role));
  EXPECT_EQ(names.size(), kRoles.size());
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(TypeNames, AreWhatPeopleWrite) {
  EXPECT_EQ(type_name(oid::kInt8), "int8");
  EXPECT_EQ(type_name(oid::kTimestamptzArray), "timestamptz[]");
  EXPECT_EQ(type_name(oid::kUnknown), "unknown") << "what a bare literal is";
  EXPECT_EQ(type_name(4711), "type 4711");
}

template <class Number, class Bits>
void expect_same_bits(Number value) {
  std::string bytes;
  Codec<Number>::encode(bytes, value);
  EXPECT_EQ(std::bit_cast<Bits>(Codec<Number>::decode(Codec<Number>::kOid, bytes)),
            std::bit_cast<Bits>(value));
}

TEST(FloatingPoint, KeepsEveryBit) {
  for (const double value :
       {0.0, -0.0, 1.0 / 3, std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max(),
        -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    expect_same_bits<double, std::uint64_t>(value);
    expect_same_bits<float, std::uint32_t>(static_cast<float>(value));
  }
}

RC_GTEST_PROP(Times, SurviveToTheMicrosecond, ()) {
  // All that PostgreSQL itself can hold: 4713 BC to 294276 AD.
  const WallTime least{std::chrono::sys_days(std::chrono::year(-4712) / 1 / 1)};
  const auto span = std::chrono::microseconds(std::chrono::hours(24) * 365L * 290000L);
  const WallTime time = least + std::chrono::microseconds(*rc::gen::inRange<std::int64_t>(0, span.count()));
  std::string bytes;
  Codec<WallTime>::encode(bytes, time);
  RC_ASSERT(Codec<WallTime>::decode(oid::kTimestamptz, bytes) == time);
}

RC_GTEST_PROP(Uuids, SurviveAsTextAndAsBytes, (const std::array<std::uint8_t, 16>& numbers)) {
  Uuid uuid;
  for (std::size_t i = 0; i < 16; ++i) uuid.bytes.at(i) = static_cast<std::byte>(numbers.at(i));
  RC_ASSERT(Uuid::parse(uuid.to_string()) == uuid);
  std::string bytes;
  Codec<Uuid>::encode(bytes, uuid);
  RC_ASSERT(Codec<Uuid>::decode(oid::kUuid, bytes) == uuid);
}

TEST(JsonAndBytes, AreViewsOfWhatCame) {
  std::string bytes;
  Codec<JsonView>::encode(bytes, {R"({"a":1})"});
  EXPECT_EQ(Codec<JsonView>::decode(oid::kJsonb, bytes).text, R"({"a":1})");
  EXPECT_EQ(Codec<JsonView>::decode(oid::kJson, R"({"a":1})").text, R"({"a":1})")
      << "json has no version byte";
  const std::string raw("\0\xff", 2);
  const BytesView view = Codec<BytesView>::decode(oid::kBytea, raw);
  EXPECT_EQ(static_cast<const void*>(view.data.data()), raw.data());
  EXPECT_EQ(view.data.size(), 2U);
}

}  // namespace
}  // namespace weir::pg
