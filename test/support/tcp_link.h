#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <poll.h>

#include "base/deadline.h"
#include "base/unique_fd.h"

namespace weir::test {

enum class Way { to_server, to_client };

/// What a gate does to the bytes that go one way, over all of its connections.
struct Flow {
  Duration delay{0};
  std::uint64_t rate = 0;                  ///< bytes a second; 0 = as they come
  std::optional<std::uint64_t> cut_after;  ///< bytes that still pass before everything is cut
  bool freezes = false;                    ///< everything stands still then, instead
  bool close_on_data = false;
  bool half_closed = false;  ///< nothing passes any more, and the receiver has been told the end

  std::uint64_t passed = 0;
  SteadyTime free_at{};  ///< when `rate` lets the next bytes pass
};

/// The two sockets of one connection through a gate, and the bytes on their way. Used by the gate's thread.
class TcpLink {
 public:
  TcpLink(UniqueFd client, UniqueFd server);

  /// Adds what it waits for; answers when it has to be served at the latest, in any case.
  Deadline prepare(std::vector<pollfd>& fds, const std::array<Flow, 2>& flows, SteadyTime now) const;
  /// Moves what can be moved.
  void serve(std::array<Flow, 2>& flows, SteadyTime now);
  /// Both sides see "connection reset".
  void cut() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return client_.valid(); }

 private:
  struct Chunk {
    SteadyTime due;
    std::string bytes;
  };
  struct Stream {
    std::deque<Chunk> held;
    std::size_t size = 0;
    bool ended = false;  ///< the sender has said so
    bool told = false;   ///< and so have we
  };

  [[nodiscard]] int source(Way way) const noexcept {
    return way == Way::to_server ? client_.get() : server_.get();
  }
  [[nodiscard]] int target(Way way) const noexcept {
    return way == Way::to_server ? server_.get() : client_.get();
  }
  Stream& stream(Way way) noexcept { return streams_.at(static_cast<std::size_t>(way)); }
  [[nodiscard]] const Stream& stream(Way way) const noexcept {
    return streams_.at(static_cast<std::size_t>(way));
  }

  void take(Way way, Flow& flow, SteadyTime now);
  void pass(Way way, Flow& flow, SteadyTime now);
  void tell_end(Way way, const Flow& flow);

  UniqueFd client_;
  UniqueFd server_;
  std::array<Stream, 2> streams_;
};

}  // namespace weir::test
