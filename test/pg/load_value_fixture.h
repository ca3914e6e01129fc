#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "load/value/row_encoder.h"
#include "pg/copy.h"
#include "support/database.h"

namespace weir::load {

using Words = std::vector<std::string>;

/// What became of a text: its value as the server shows it, or nothing where it was refused.
using Outcome = std::optional<std::string>;

inline std::string shown(const Outcome& outcome) { return outcome ? "[" + *outcome + "]" : "refused"; }

class LoadValueTest : public test::PgTest {
 protected:
  void SetUp() override {
    PgTest::SetUp();
    session_.emplace(session());
    session_->execute_script(R"(
      SET timezone = 'UTC';
      CREATE FUNCTION ask(inputs text[], expression text) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        FOR i IN 1 .. coalesce(array_length(inputs, 1), 0) LOOP
          BEGIN
            EXECUTE 'INSERT INTO wanted VALUES ($2, ' || expression || ')' USING inputs[i], i;
          EXCEPTION WHEN OTHERS THEN NULL;
          END;
        END LOOP;
      END $$;)");
  }
  void TearDown() override {
    session_.reset();
    PgTest::TearDown();
  }

  ColumnType type_in_catalogue(const std::string& sql) {
    session_->execute_script("DROP TABLE IF EXISTS wanted, loaded; CREATE TABLE wanted (n int, v " + sql +
                             "); CREATE TABLE loaded (v " + sql + ", n int8)");
    const auto row = session_->execute(
        "SELECT atttypid::int8, atttypmod, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'wanted'::regclass AND attname = 'v'");
    return type_of(static_cast<pg::Oid>(row[0].get<std::int64_t>(0)), row[0].get<std::int32_t>(1),
                   row[0].get<std::string>(2));
  }

  std::map<std::size_t, std::string> read(const std::string& table) {
    std::map<std::size_t, std::string> values;
    const auto rows = session_->execute("SELECT n::int8, v::text FROM " + table);
    for (int i = 0; i < rows.rows(); ++i) {
      values.emplace(static_cast<std::size_t>(rows[i].get<std::int64_t>(0)), rows[i].get<std::string>(1));
    }
    return values;
  }

  void load(const ColumnType& type, const Words& inputs, Cell::Kind kind = Cell::Kind::text) {
    const RowEncoder encoder({type});
    std::string out;
    RowEncoder::begin(out);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Cell cell{.kind = kind, .text = inputs[i]};
      const std::int64_t number = static_cast<std::int64_t>(i) + 1;
      const auto misfit = encoder.add({&cell, 1}, {&number, 1}, out);
      EXPECT_LT(misfit ? misfit->reason.size() : 0, 400);
    }
    RowEncoder::end(out);
    pg::CopyIn copy(*session_, "COPY loaded FROM STDIN (FORMAT binary)");
    copy.write(out);
    copy.finish();
  }

  /// Each input, the server's outcome and ours where they differ.
  std::map<std::string, std::pair<Outcome, Outcome>> differences(const std::string& sql,
                                                                 const Words& inputs) {
    const ColumnType type = type_in_catalogue(sql);
    // A cast to varchar(n) cuts silently; what COPY and INSERT do is the assignment.
    const bool has_length = type.base == Base::varchar || type.base == Base::bpchar;
    session_->execute("SELECT ask($1, $2)", inputs, has_length ? std::string("$1") : "$1::" + sql);
    load(type, inputs);
    const auto wanted = read("wanted");
    const auto loaded = read("loaded");
    const auto find = [](const auto& values, std::size_t n) {
      const auto found = values.find(n);
      return found == values.end() ? Outcome() : Outcome(found->second);
    };
    std::map<std::string, std::pair<Outcome, Outcome>> different;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Outcome server = find(wanted, i + 1);
      const Outcome ours = find(loaded, i + 1);
      if (server != ours) different.emplace(inputs[i], std::pair(server, ours));
    }
    return different;
  }

  /// The same but for `only_server`, which the server takes and we do not.
  void expect_same(const std::string& sql, const Words& inputs, const Words& only_server = {}) {
    Words all = inputs;
    all.insert(all.end(), only_server.begin(), only_server.end());
    const auto different = differences(sql, all);
    for (const auto& [input, outcomes] : different) {
      const bool known =
          std::find(only_server.begin(), only_server.end(), input) != only_server.end() && !outcomes.second;
      EXPECT_TRUE(known) << sql << " of '" << input << "': the server " << shown(outcomes.first) << ", we "
                         << shown(outcomes.second);
    }
    for (const std::string& input : only_server) {
      EXPECT_TRUE(different.contains(input)) << sql << " of '" << input << "': no exception any more";
    }
  }

  std::optional<pg::Session> session_;
};

/// Texts that are nearly values: pieces of `seeds` cut, swapped and spoilt with `letters`.
inline Words spoilt(const Words& seeds, std::string_view letters, int count) {
  std::mt19937 random(20240131);  // NOLINT: the same every time
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::set<std::string> texts;
  for (int i = 0; i < count; ++i) {
    std::string text = seeds[below(seeds.size())];
    for (std::size_t changes = 1 + below(3); changes > 0 && !text.empty(); --changes) {
      const std::size_t at = below(text.size());
      const char letter = letters[below(letters.size())];
      switch (below(4)) {
        case 0: text[at] = letter; break;
        case 1: text.insert(at, 1, letter); break;
        case 2: text.erase(at, 1); break;
        default: text.append(1, letter); break;
      }
    }
    texts.insert(text);
  }
  return {texts.begin(), texts.end()};
}

}  // namespace weir::load
