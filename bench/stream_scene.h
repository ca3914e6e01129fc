#pragma once

#include <string>
#include <vector>

#include "report.h"
#include "scene.h"
#include "stream/consumer.h"

namespace weir::bench {

inline constexpr int kStreamRounds = 3;

/// A database with weir's tables, and streams in it.
class StreamScene {
 public:
  explicit StreamScene(Scene& plain);

  [[nodiscard]] Scene& plain() noexcept { return plain_; }
  [[nodiscard]] pg::Session& session() noexcept { return session_; }

  /// A stream of that name that holds nothing; one that was there is dropped.
  void make(const std::string& name);
  /// Events of about 300 bytes, 230 of them text, in transactions of 100,000.
  void add(const std::string& name, std::int64_t events, int text = 230);
  /// What consumers find cut already, so that only consuming is measured.
  void cut(const std::string& name);
  void add_group(const std::string& name, const std::string& group);

  enum class By { transactional, leased, sql };
  /// Events a second of a group that has them before it, start and end of the consumer included.
  double consume(const std::string& name, const std::string& group, By by, std::size_t workers);

 private:
  Scene& plain_;
  pg::Session session_;
};

/// Parts of suite stream.
std::vector<Measurement> bench_stream_produce(StreamScene& scene);
std::vector<Measurement> bench_stream_consume(StreamScene& scene);
std::vector<Measurement> bench_stream_flat(StreamScene& scene, std::int64_t most);
Measurement bench_stream_held(StreamScene& scene);

}  // namespace weir::bench
