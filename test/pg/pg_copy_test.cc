#include <gtest/gtest.h>

#include "pg/copy.h"
#include "pg/copy_format.h"
#include "support/database.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using test::PgTest;

class CopyTest : public PgTest {
 protected:
  void SetUp() override {
    PgTest::SetUp();
    session().execute("CREATE TABLE line (n int8, word text)");
  }
  std::int64_t lines() { return session().execute("SELECT count(*) FROM line")[0].get<std::int64_t>(0); }
};

TEST_F(CopyTest, TextCarriesEveryCharacterAndNull) {
  Session session = this->session();
  const std::string hostile = "tab\t line\n return\r back\\slash \\N ž\x01";
  CopyText rows;
  rows.add("1");
  rows.add(hostile);
  rows.end_row();
  rows.add("2");
  rows.add_null();
  rows.end_row();
  rows.add("3");
  rows.add("\\N");
  rows.end_row();
  CopyIn copy(session, "COPY line FROM STDIN");
  copy.write(rows.bytes());
  EXPECT_EQ(copy.finish(), 3);
  const Result result = session.execute("SELECT word FROM line ORDER BY n");
  EXPECT_EQ(result[0].get<std::string>(0), hostile);
  EXPECT_EQ(result[1].get<std::optional<std::string>>(0), std::nullopt);
  EXPECT_EQ(result[2].get<std::string>(0), "\\N");
}

TEST_F(CopyTest, BinaryCarriesValuesInPiecesOfAnySize) {
  Session session = this->session();
  CopyBinary rows(2);
  for (std::int64_t n = 0; n < 1000; ++n) {
    rows.begin_row();
    rows.add(n);
    rows.add(n % 7 == 0 ? std::optional<std::string>()
                        : std::optional<std::string>("word " + std::to_string(n)));
  }
  rows.finish();
  CopyIn copy(session, "COPY line FROM STDIN (FORMAT binary)");
  std::string_view rest = rows.bytes();
  for (std::size_t piece = 1; !rest.empty(); piece = piece % 997 + 1) {
    copy.write(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
  }
  EXPECT_EQ(copy.finish(), 1000);
  const Result result = session.execute(
      "SELECT sum(n)::int8, count(word), count(*) FILTER (WHERE word = 'word ' || n) FROM line");
  EXPECT_EQ(result[0].get<std::int64_t>(0), 499500);
  EXPECT_EQ(result[0].get<std::int64_t>(1), 857);
  EXPECT_EQ(result[0].get<std::int64_t>(2), 857);
}

TEST_F(CopyTest, ARefusedRowFailsTheWholeCopyAndTheSessionLives) {
  Session session = this->session();
  CopyIn copy(session, "COPY line FROM STDIN");
  copy.write("1\tgood\nnot a number\tbad\n");
  try {
    copy.finish();
    FAIL() << "the bad row was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.sqlstate(), "22P02");
    EXPECT_NE(error.info().context.find("line 2"), std::string::npos);
  }
  EXPECT_EQ(session.execute("SELECT count(*) FROM line")[0].get<std::int64_t>(0), 0);
}

TEST_F(CopyTest, AnAbandonedCopyLeavesNothingAndTheSessionLives) {
  Session session = this->session();
  {
    CopyIn copy(session, "COPY line FROM STDIN");
    copy.write("1\thalf of it\n");
  }
  EXPECT_TRUE(session.is_open());
  EXPECT_EQ(session.execute("SELECT count(*) FROM line")[0].get<std::int64_t>(0), 0);
}

TEST_F(CopyTest, TheSessionDoesNothingElseMeanwhile) {
  Session session = this->session();
  CopyIn copy(session, "COPY line FROM STDIN");
  try {
    session.execute("SELECT 1");
    FAIL() << "a statement ran inside a COPY";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::misuse);
  }
  copy.write("1\tx\n");
  EXPECT_EQ(copy.finish(), 1);
}

TEST_F(CopyTest, OnlyACopyInTheRightDirectionBeginsOne) {
  const auto kind_of = [&](auto&& begin) {
    Session session = this->session();
    try {
      begin(session);
    } catch (const Error& error) {
      return std::pair(error.kind(), session.is_open());
    }
    return std::pair(ErrorKind::server, false);
  };
  EXPECT_EQ(kind_of([](Session& on) { CopyIn copy(on, "SELECT 1"); }), std::pair(ErrorKind::misuse, true));
  EXPECT_EQ(kind_of([](Session& on) { CopyIn copy(on, "COPY line TO STDOUT"); }),
            std::pair(ErrorKind::misuse, false));
  EXPECT_EQ(kind_of([](Session& on) { CopyOut copy(on, "COPY line FROM STDIN"); }),
            std::pair(ErrorKind::misuse, false));
  EXPECT_EQ(kind_of([](Session& on) { CopyIn copy(on, "COPY nothing FROM STDIN"); }),
            std::pair(ErrorKind::server, true));
}

TEST_F(CopyTest, OutAnswersEveryRow) {
  Session session = this->session();
  CopyOut copy(session, "COPY (SELECT n FROM generate_series(1, 100000) n) TO STDOUT");
  std::int64_t sum = 0;
  while (const auto row = copy.next()) sum += std::stoll(std::string(*row));
  EXPECT_EQ(copy.rows(), 100000);
  EXPECT_EQ(sum, 5000050000);
  EXPECT_EQ(session.execute("SELECT 1").rows(), 1);
}

TEST_F(CopyTest, OutThatFailsHalfwayThrows) {
  Session session = this->session();
  CopyOut copy(session, "COPY (SELECT 1 / (n - 50000) FROM generate_series(1, 100000) n) TO STDOUT");
  EXPECT_THROW(
      {
        while (copy.next()) {
        }
      },
      Error);
  EXPECT_TRUE(session.is_open());
}

TEST_F(CopyTest, AnAbandonedOutClosesTheSession) {
  Session session = this->session();
  const int pid = session.backend_pid();
  {
    CopyOut copy(session, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT");
    EXPECT_TRUE(copy.next());
  }
  EXPECT_FALSE(session.is_open());
  test::wait_until_gone(connector(), pid);
}

TEST_F(CopyTest, ASessionKilledInTheMiddleIsLost) {
  Session session = this->session();
  CopyIn copy(session, "COPY line FROM STDIN");
  copy.write("1\tx\n");
  test::terminate_backend(connector(), session.backend_pid());
  EXPECT_THROW(
      {
        for (int i = 0; i < 100000; ++i) copy.write(std::string(1000, 'x') + "\n");
        copy.finish();
      },
      ConnectionLost);
  EXPECT_FALSE(session.is_open());
  EXPECT_EQ(lines(), 0);
}

}  // namespace
}  // namespace weir::pg
