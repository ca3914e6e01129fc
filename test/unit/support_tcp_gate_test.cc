#include <arpa/inet.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/tcp_gate.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

/// A blocking socket whose reads give up after a while, so that no failure becomes a hang.
struct Peer {
  UniqueFd fd;

  explicit Peer(int socket) : fd(socket) {
    const timeval limit{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  static Peer to(int port) {
    Peer peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(port);
    if (::connect(peer.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw_errno("connect");
    }
    return peer;
  }
  void send(const std::string& text) const { ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  /// "end" for the end of the stream, "reset" for a broken one, "nothing" when nothing has come.
  [[nodiscard]] std::string receive(std::size_t size) const {
    std::string text(size, '\0');
    const ssize_t got = ::recv(fd.get(), text.data(), size, MSG_WAITALL);
    if (got == 0) return "end";
    if (got < 0) return errno == ECONNRESET ? "reset" : "nothing";
    text.resize(static_cast<std::size_t>(got));
    return text;
  }
  [[nodiscard]] bool has_nothing() const {
    char byte = 0;
    return ::recv(fd.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
  }
};

class TcpGateTest : public ::testing::Test {
 protected:
  TcpGateTest() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    gate_.emplace(ntohs(address.sin_port));
  }
  [[nodiscard]] Peer accept() const { return Peer(::accept(listener_.get(), nullptr, nullptr)); }
  TcpGate& gate() { return *gate_; }

 private:
  UniqueFd listener_;
  std::optional<TcpGate> gate_;
};

TEST_F(TcpGateTest, PassesBytesBothWaysAndCountsThem) {
  const Peer client = Peer::to(gate().port());
  const Peer server = accept();
  client.send("question");
  EXPECT_EQ(server.receive(8), "question");
  server.send("answer");
  EXPECT_EQ(client.receive(6), "answer");
  gate().wait_for([](const auto& counts) { return counts.to_server == 8 && counts.to_client == 6; },
                  "the bytes");
  EXPECT_EQ(gate().counts().accepted, 1U);
}

TEST_F(TcpGateTest, PassesTheEndOfAStream) {
  const Peer client = Peer::to(gate().port());
  const Peer server = accept();
  ::shutdown(client.fd.get(), SHUT_WR);
  EXPECT_EQ(server.receive(1), "end");
  server.send("late answer");
  EXPECT_EQ(client.receive(11), "late answer");
  ::shutdown(server.fd.get(), SHUT_WR);
  EXPECT_EQ(client.receive(1), "end");
  gate().wait_for([](const auto& counts) { return counts.open == 0; }, "the link to go");
}

TEST_F(TcpGateTest, RefusesAndOpensAgainOnTheSamePort) {
  gate().refuse();
  EXPECT_THROW(Peer::to(gate().port()), Error);
  gate().open();
  const Peer client = Peer::to(gate().port());
  client.send("x");
  EXPECT_EQ(accept().receive(1), "x");
}

TEST_F(TcpGateTest, StopsAcceptingWithoutRefusing) {
  gate().stop_accepting();
  const Peer client = Peer::to(gate().port());
  client.send("x");
  EXPECT_EQ(gate().counts().accepted, 0U);
  gate().open();
  EXPECT_EQ(accept().receive(1), "x");
}

TEST_F(TcpGateTest, FrozenPassesNothingUntilItOpens) {
  const Peer client = Peer::to(gate().port());
  const Peer server = accept();
  gate().freeze();
  client.send("x");
  gate().delay(Way::to_client, 0ms);  // a round through the gate's thread: it had its chance
  EXPECT_TRUE(server.has_nothing());
  gate().open();
  EXPECT_EQ(server.receive(1), "x");
}

TEST_F(TcpGateTest, CutsAfterExactlySoManyBytes) {
  const Peer client = Peer::to(gate().port());
  const Peer other = Peer::to(gate().port());
  const Peer server = accept();
  const Peer other_server = accept();
  gate().cut_after(Way::to_server, 5);
  client.send("0123456789");
  gate().wait_for([](const auto& counts) { return counts.open == 0; }, "the cut");
  EXPECT_EQ(gate().counts().to_server, 5U);
  EXPECT_EQ(client.receive(1), "reset");
  EXPECT_EQ(other.receive(1), "reset");
  // A reset may overtake what has come before it.
  EXPECT_NE(server.receive(10), "0123456789");
  const Peer next = Peer::to(gate().port());
  next.send("0123456789");
  EXPECT_EQ(accept().receive(10), "0123456789") << "it cuts once";
}

TEST_F(TcpGateTest, ClosesOnTheNextData) {
  const Peer client = Peer::to(gate().port());
  const Peer server = accept();
  gate().close_on_data(Way::to_client);
  client.send("x");
  EXPECT_EQ(server.receive(1), "x") << "the other way";
  server.send("y");
  EXPECT_EQ(client.receive(1), "reset");
}

TEST_F(TcpGateTest, HalfCloseEndsOneWayOnly) {
  const Peer client = Peer::to(gate().port());
  const Peer server = accept();
  gate().half_close(Way::to_client);
  EXPECT_EQ(client.receive(1), "end");
  server.send("lost");
  client.send("x");
  EXPECT_EQ(server.receive(1), "x");
}

TEST_F(TcpGateTest, DelaysInOrder) {
  const Peer client = Peer::to(gate().port());
  const Peer server = accept();
  gate().delay(Way::to_server, 50ms);
  const auto begin = std::chrono::steady_clock::now();
  client.send("a");
  client.send("b");
  EXPECT_EQ(server.receive(2), "ab");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 50ms);
}

TEST_F(TcpGateTest, ThrottlesAndHoldsBackTheSender) {
  const Peer client = Peer::to(gate().port());
  const Peer server = accept();
  gate().throttle(Way::to_server, 1'000'000);
  const auto begin = std::chrono::steady_clock::now();
  client.send(std::string(100'000, 'x'));
  EXPECT_EQ(server.receive(100'000).size(), 100'000U);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 90ms)
      << "a tenth of a second's worth, less the last piece";
}

TEST_F(TcpGateTest, AServerThatIsNotThereResetsTheClient) {
  int nobody = 0;
  {
    const TcpGate gone(1);
    nobody = gone.port();
  }
  const TcpGate gate(nobody);
  EXPECT_EQ(Peer::to(gate.port()).receive(1), "reset");
}

}  // namespace
}  // namespace weir::test
