#include <gtest/gtest.h>

#include "library/ends_transaction.h"

namespace weir {
namespace {

TEST(EndsTransaction, ByItsFirstWords) {
  for (const char* sql :
       {"COMMIT", "commit;", " Commit Work", "COMMIT AND CHAIN", "END", "end transaction", "ABORT",
        "ROLLBACK", "rollback and chain", "ROLLBACK WORK", "PREPARE TRANSACTION 'x'", "commit prepared 'x'",
        "/* a /* nested */ one */ commit", "-- a note\nCOMMIT", ";; COMMIT", "rollback/**/work"}) {
    EXPECT_TRUE(ends_transaction(sql)) << sql;
  }
  for (const char* sql :
       {"", ";", "-- COMMIT", "/* COMMIT", "SELECT 'COMMIT'", "ROLLBACK TO a", "rollback work to savepoint a",
        "ROLLBACK /* x */ TRANSACTION TO a", "PREPARE a AS SELECT 1", "commit_all()", "ENDED", "SAVEPOINT a",
        "RELEASE a", "DO $$ BEGIN COMMIT; END $$", "WITH a AS (SELECT 1) SELECT 2", "*/ COMMIT"}) {
    EXPECT_FALSE(ends_transaction(sql)) << sql;
  }
}

}  // namespace
}  // namespace weir
