#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "work/outcome.h"

// What the queue's tables should say, in memory: the oracle of queue_model_test.cc.

namespace weir::queue {

constexpr int kMaxRunning = 4;
constexpr int kMaxPerKey = 2;
/// 1 is without limits, 2 has both caps.
constexpr int kQueues = 2;

struct ModelJob {
  std::int64_t id = 0;
  int queue = 1;
  int priority = 0;
  std::int64_t place = 0;  ///< among those that wait: the order of readiness
  int attempt = 0;
  int max_attempts = 1;
  std::string unique_key, limit_key;
};

struct ModelClaim {
  int queue = 1;
  std::vector<ModelJob> jobs;
  std::set<std::int64_t> settled;
};

struct ModelProcess {
  bool dead = false;
  std::int64_t first_claim = 0, claims = 0;
};

/// (worker, number)
using ClaimKey = std::pair<std::int64_t, std::int64_t>;

class Model {
 public:
  std::map<std::int64_t, ModelJob> waiting, later, dead;
  std::map<ClaimKey, ModelClaim> claims;
  std::map<std::int64_t, ModelProcess> processes;
  struct Key {
    std::int64_t job = 0;
    bool windowed = false;
  };
  std::map<std::pair<int, std::string>, Key> keys;
  std::set<std::int64_t> cancels;
  bool paused = false;
  std::int64_t places = 0;
  std::size_t ended = 0;

  void wait(ModelJob job, bool new_place);
  void give_key_back(const ModelJob& job);
  [[nodiscard]] int running(int queue, const std::string* limit_key = nullptr) const;
  /// What a claim has to give, in this order.
  [[nodiscard]] std::vector<std::int64_t> next(int queue, int wanted) const;
  void settle(const ClaimKey& key, std::int64_t id, const work::Outcome& outcome);
  void rescue(const ClaimKey& key);

  /// The same text as kState makes of the tables.
  [[nodiscard]] std::string describe() const;
};

/// Makes of the tables the text that Model::describe() makes of the model.
extern const char* const kState;

}  // namespace weir::queue
