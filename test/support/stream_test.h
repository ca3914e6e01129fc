#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "stream/consumer.h"
#include "stream/stream.h"
#include "support/database.h"

namespace weir::test {

/// A test of streams: Weir's schema, and a session of the test's own.
class StreamTest : public SchemaTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// Events with the keys k0 to k6 and {"n": 1} and so on, in one transaction.
  void insert(int events, const std::string& at = "now()");
  std::int64_t number(const std::string& sql);
  void cut_all(const std::string& stream = "events");
  std::int32_t group(const std::string& name, std::optional<WallTime> from = WallTime{});

  using Function = std::function<work::Outcome(const work::Item&)>;
  /// Of the stream "events".
  std::unique_ptr<stream::Consumer> by_sql(stream::ConsumerOptions options, const std::string& sql);
  std::unique_ptr<stream::Consumer> leased(stream::ConsumerOptions options, Function function);
  std::unique_ptr<stream::Consumer> transactional(stream::ConsumerOptions options, Function function);
  /// Until nothing is left; its options say once.
  static void work_off(stream::Consumer& consumer);

  std::optional<pg::Session> one_;
};

}  // namespace weir::test
