#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/wait.h"
#include "pg/conninfo.h"
#include "support/tcp_link.h"

namespace weir::test {

/// A gate on the loopback interface in front of a server's TCP port, for tests of bad networks. Whatever is
/// switched is in force when the call returns, for connections that are there and for new ones.
class TcpGate {
 public:
  explicit TcpGate(int target_port);
  ~TcpGate();
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  /// The same server, through the gate.
  [[nodiscard]] pg::Conninfo through(pg::Conninfo conninfo) const;

  /// Undoes everything; what was held back flows on.
  void open();
  /// New connections hang: the system completes them, and nobody ever takes them up.
  void stop_accepting();
  void refuse();
  /// Keeps the connections and passes nothing, like a network that has gone.
  void freeze();
  void delay(Way way, Duration span);
  /// Like a slow server or a slow client.
  void throttle(Way way, std::uint64_t bytes_per_second);
  /// Once: the next connection with bytes in this way is cut, and they are lost.
  void close_on_data(Way way);
  /// Once: when so many more bytes have passed, every connection is cut.
  void cut_after(Way way, std::uint64_t bytes);
  /// The receiver sees the end of the stream, as when the sender had shut down its side. The other way stays
  /// open.
  void half_close(Way way);
  /// Once: when so many more bytes have passed, the gate is frozen.
  void freeze_after(Way way, std::uint64_t bytes);
  void cut_all();

  struct Counts {
    std::uint64_t accepted = 0;  ///< connections, in all
    std::uint64_t open = 0;
    std::uint64_t to_server = 0;  ///< bytes that have passed
    std::uint64_t to_client = 0;
  };
  [[nodiscard]] Counts counts() const;
  /// Throws, naming `what`, when it does not come.
  void wait_for(const std::function<bool(const Counts&)>& state, const std::string& what,
                Duration limit = std::chrono::seconds(20)) const;

 private:
  enum class Door { open, closed, refusing };

  /// Runs it in the gate's thread, which owns everything below, and returns when it is done.
  void command(std::function<void()> work);
  void run(const std::stop_token& stop);
  void set_door(Door door);
  void accept_one();
  void cut_every_link();
  void end_if_passed(Flow& flow);
  void wait_for_events();
  void publish(bool command_done);

  const int target_port_;
  int port_ = 0;
  UniqueFd reservation_;  // bound, never listening: the port stays ours while we refuse
  UniqueFd listener_;
  Door door_ = Door::refusing;
  bool frozen_ = false;
  std::array<Flow, 2> flows_;
  std::list<TcpLink> links_;
  std::uint64_t accepted_ = 0;

  Wakeup wakeup_;
  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::function<void()> command_ WEIR_GUARDED_BY(mutex_);
  Counts counts_ WEIR_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace weir::test
