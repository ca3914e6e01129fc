#pragma once

#include <functional>
#include <string>
#include <vector>

#include "queue/adopt_consumer.h"
#include "support/database.h"

namespace weir::test {

/// A handler made of a function.
class FunctionHandler final : public work::Handler {
 public:
  using Function = std::function<void(work::Batch&)>;
  explicit FunctionHandler(Function function) : function_(std::move(function)) {}
  void run(work::Batch& batch) override { function_(batch); }

 private:
  Function function_;
};

/// A database with a table `events` of the user's, and a table `effect` that shows which events a handler has
/// handled, and how often.
class AdoptTest : public PgTest {
 protected:
  /// As weir consume connects: handlers find names where their user does.
  [[nodiscard]] std::shared_ptr<const pg::Connector> consumers_connector() const {
    return std::make_shared<const pg::Connector>(users_connector());
  }
  enum class Shape { plain, partitioned, no_key };
  void make_events(Shape shape, int rows);

  [[nodiscard]] queue::AdoptRequest request() const;
  [[nodiscard]] queue::Adopted adopted(const queue::AdoptRequest& request) const;
  [[nodiscard]] queue::Adopted adopted() const { return adopted(request()); }

  /// Inserts an effect for each event in the batch's transaction, and settles all as done.
  static void insert_effects(work::Batch& batch);
  static work::HandlerFactory handlers(FunctionHandler::Function function);
  [[nodiscard]] queue::AdoptConsumer consumer(queue::AdoptConsumerOptions options,
                                              FunctionHandler::Function function) const;

  /// "done/total rows, effects/different effects".
  [[nodiscard]] std::string tally() const;
  [[nodiscard]] std::int64_t number(const std::string& sql) const;
};

/// The number in `"id": 7` of a row as json.
std::int64_t id_of(const work::Item& item);

}  // namespace weir::test
