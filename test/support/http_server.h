#pragma once

#include <condition_variable>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

namespace weir::test {

/// An HTTP server on the loopback interface that keeps what it is sent. It answers 200, unless told to say
/// something else or nothing; each request on a connection of its own.
class HttpServer {
 public:
  HttpServer();
  ~HttpServer() = default;
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] std::string url(const std::string& path) const;

  /// The next requests get these, those after them 200.
  void answer_next(std::initializer_list<int> statuses);
  /// Takes requests and answers none of them, until it speaks again.
  void fall_silent();
  void speak_again();

  struct Request {
    std::string method;
    std::string path;
    std::string head;  ///< the header lines
    std::string body;
  };
  /// So many at least, since it was made; throws when they do not come.
  std::vector<Request> wait_for(std::size_t count, Duration limit = std::chrono::seconds(20));
  [[nodiscard]] std::size_t count() const;

 private:
  void serve(const std::stop_token& stop);
  void take(UniqueFd client, const std::stop_token& stop);

  UniqueFd listener_;
  int port_ = 0;
  mutable Mutex mutex_;
  std::condition_variable_any arrived_;
  std::vector<Request> requests_ WEIR_GUARDED_BY(mutex_);
  std::deque<int> statuses_ WEIR_GUARDED_BY(mutex_);
  bool silent_ WEIR_GUARDED_BY(mutex_) = false;
  std::vector<UniqueFd> unanswered_ WEIR_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace weir::test
