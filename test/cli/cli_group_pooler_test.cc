// weir group consume through pgbouncer in transaction mode, and one of its processes that is killed.
#include <csignal>

#include "cli_group_fixture.h"
#include "support/pgbouncer.h"
#include "support/waiting.h"

namespace weir::test {
namespace {

class CliGroupPooler : public CliGroupTest {
 protected:
  void TearDown() override {
    bouncer_.reset();  // it keeps sessions after those who used them
    CliGroupTest::TearDown();
  }
  [[nodiscard]] WeirSetup through() const {
    WeirSetup setup = this->setup();
    setup.env["DATABASE_URL"] = bouncer_->conninfo(database()).url();
    return setup;
  }

  std::optional<PgBouncer> bouncer_{PgBouncer::Mode::transaction};
};

TEST_F(CliGroupPooler, TheGroupsOfAConsumerThatIsKilledMoveToAnotherAfterTheirLease) {
  EXPECT_EQ(
      run({"feed", "set", "default", "--lease", "5s", "--backoff", "1ms", "--max-attempts", "20"}).status, 0);
  session().execute("SELECT weir.submit_batch('t', 'k' || n, '{}') FROM generate_series(1, 3) n");
  const Words consume{"group", "consume", "--sink", "silver", "--concurrency", "3", "--poll", "100ms"};
  Words sleeping = consume;
  sleeping.insert(sleeping.end(), {"--", "sleep", "60"});
  WeirProgram killed(sleeping, through());
  wait_until([&] { return text("SELECT count(*) FROM weir.batch_step WHERE state = 'executing'") == "3"; },
             "it to be at all of them");
  EXPECT_EQ(text("SELECT count(*) FROM weir.group_hold WHERE lock_key IS NULL"), "3") << "by lease";
  Words working = consume;
  working.insert(working.end(),
                 {"--sql",
                  "INSERT INTO public.applied (sink, run_id, idx, attempt) SELECT 'silver', run_id, idx, "
                  "attempt FROM weir_batch"});
  WeirProgram other(working, through());
  other.wait_for_error("consuming");
  killed.signal(SIGKILL);
  // A lease of 5 s, a sweep each third of that, a look each 100 ms; and a machine that has other things to do
  // may take a lease from the living, too.
  wait_until([&] { return text("SELECT count(*) FROM public.applied") == "3"; }, "the groups to move",
             std::chrono::seconds(60));
  EXPECT_EQ(text("SELECT count(DISTINCT run_id) FROM public.applied WHERE attempt >= 2"), "3");
  EXPECT_EQ(
      text("SELECT count(DISTINCT run_id) FROM weir.batch_attempt WHERE outcome = 'lost' AND attempt = 1"),
      "3");
  other.signal(SIGTERM);
  EXPECT_EQ(other.wait_end(), 0) << other.err();
}

}  // namespace
}  // namespace weir::test
