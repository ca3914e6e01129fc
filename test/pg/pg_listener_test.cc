#include <gtest/gtest.h>

#include "pg/listener.h"
#include "support/database.h"
#include "support/service_suite.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using namespace std::chrono_literals;
using test::PgTest;

struct Heard {
  std::string payload;
  bool resync = false;
  friend bool operator==(const Heard&, const Heard&) = default;
};

class ListenerTest : public PgTest {
 protected:
  ListenerTest() { heard_.enable(); }
  Listener::Handler handler() {
    return [this](const Listener::Event& event) { heard_.emit({std::string(event.payload), event.resync}); };
  }
  Heard next() {
    const std::optional<Heard> heard = heard_.wait(Deadline::after(20s));
    if (!heard) throw std::runtime_error("nothing was heard");
    return *heard;
  }
  void notify(const std::string& channel, const std::string& payload) {
    session().execute("SELECT pg_notify($1, $2)", channel, payload);
  }

  TestSignal<Heard> heard_;
};

TEST_F(ListenerTest, HearsWhatIsSentAfterTheFirstResync) {
  Listener listener(shared_connector(), "test");
  const auto subscription = listener.subscribe("Odd \"name\"", handler());
  listener.start();
  EXPECT_EQ(next(), (Heard{"", true}));
  notify("Odd \"name\"", "one");
  EXPECT_EQ(next(), (Heard{"one", false}));
}

TEST_F(ListenerTest, SubscriptionsComeAndGoWhileItRuns) {
  Listener listener(shared_connector(), "test");
  listener.start();
  {
    const auto subscription = listener.subscribe("jobs", handler());
    EXPECT_EQ(next(), (Heard{"", true}));
    EXPECT_THROW((void)listener.subscribe("jobs", handler()), Error);
  }
  const auto again = listener.subscribe("jobs", handler());
  EXPECT_EQ(next(), (Heard{"", true}));
  notify("jobs", "two");
  EXPECT_EQ(next(), (Heard{"two", false}));
}

TEST_F(ListenerTest, ComesBackAfterALossAndSaysThatSomethingMayBeMissed) {
  Listener listener(shared_connector(), "test");
  listener.connected.enable();
  const auto subscription = listener.subscribe("jobs", handler());
  listener.start();
  EXPECT_EQ(next(), (Heard{"", true}));
  test::terminate_backend(connector(), listener.connected.wait(Deadline::after(20s)).value());
  EXPECT_EQ(next(), (Heard{"", true}));
  notify("jobs", "three");
  EXPECT_EQ(next(), (Heard{"three", false}));
}

TEST_F(ListenerTest, AHandlerThatThrowsStopsNothing) {
  Listener listener(shared_connector(), "test");
  const auto bad = listener.subscribe("bad", [](const Listener::Event&) { throw std::runtime_error("no"); });
  const auto good = listener.subscribe("good", handler());
  listener.start();
  EXPECT_EQ(next(), (Heard{"", true}));
  notify("bad", "");
  notify("good", "still here");
  EXPECT_EQ(next(), (Heard{"still here", false}));
}

TEST_F(ListenerTest, DoesNotStartWithoutAServer) {
  Conninfo wrong = connector().conninfo();
  wrong.set("dbname", "no such database");
  Listener listener(std::make_shared<const Connector>(wrong), "test");
  EXPECT_THROW(listener.start(), ConnectionLost);
}

TEST_F(ListenerTest, KeepsTheServiceContract) {
  test::expect_service_contract([this] { return std::make_unique<Listener>(shared_connector(), "test"); });
}

TEST_F(ListenerTest, AChannelThatTheServerCannotKnowIsRefused) {
  Listener listener(shared_connector(), "test");
  for (const std::string& channel :
       {std::string(), std::string(64, 'x'), std::string("a\0b", 3), std::string("\xff")}) {
    EXPECT_THROW((void)listener.subscribe(channel, handler()), Error);
  }
  const auto longest = listener.subscribe(std::string(63, 'x'), handler());
  listener.start();
  EXPECT_EQ(next(), (Heard{"", true}));
}

}  // namespace
}  // namespace weir::pg
