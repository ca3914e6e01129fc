#include <map>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "base/error.h"
#include "load/read/singer_reader.h"
#include "support/load_bytes.h"

namespace weir::load {
namespace {

using test::bytes_of;
using Lines = std::vector<std::string>;

std::string show(const Cell& cell) {
  switch (cell.kind) {
    case Cell::Kind::absent: return "-";
    case Cell::Kind::null: return "null";
    case Cell::Kind::text: return fmt::format("'{}'", cell.text);
    case Cell::Kind::json: return fmt::format("<{}>", cell.text);
    case Cell::Kind::bytes: return fmt::format("bytes:{}", cell.text);
    default: return std::string(cell.text);
  }
}

std::string show(const SingerSchema& schema) {
  std::string out;
  for (std::size_t i = 0; i < schema.columns.size(); ++i) {
    const bool key = std::find(schema.keys.begin(), schema.keys.end(), i) != schema.keys.end();
    out += fmt::format("{}{} {}{}", i == 0 ? "" : ", ", schema.columns[i].name, schema.columns[i].type.sql,
                       key ? " key" : "");
  }
  return out;
}

std::string show(const SingerEvent& event) {
  switch (event.kind) {
    case SingerEvent::Kind::schema:
      return fmt::format("schema {}: {}{}", event.stream, show(*event.schema), event.held ? " (held)" : "");
    case SingerEvent::Kind::state: return fmt::format("state at {}", event.line);
    case SingerEvent::Kind::apply:
      return fmt::format("{} {} to {}{}", event.apply.replace ? "replace" : "apply", event.stream,
                         event.apply.position,
                         event.apply.version ? fmt::format(" version {}", *event.apply.version) : "");
    case SingerEvent::Kind::record: break;
  }
  std::string out = fmt::format("{} {}:", event.stream, event.position);
  if (!event.record.malformed.empty())
    return fmt::format("{} line {} {}", out, event.line, event.record.malformed);
  for (const Cell& cell : event.record.cells) out += ' ' + show(cell);
  return out + (event.deleted ? " (deleted)" : "");
}

Lines read(const std::string& text, SingerOptions options = {}) {
  Lines out;
  SingerReader reader(bytes_of(text), std::move(options));
  while (const auto event = reader.next()) out.push_back(show(*event));
  return out;
}

std::string failure_of(const std::string& text, SingerOptions options = {}) {
  try {
    const Lines lines = read(text, std::move(options));
    return "no failure: " + (lines.empty() ? "" : lines.back());
  } catch (const Error& error) {
    return error.what();
  }
}

const std::string kItems =
    R"({"type":"SCHEMA","stream":"items","schema":{"properties":{"id":{"type":"integer"},"name":{"type":["null","string"]}}},"key_properties":["id"]})"
    "\n";

std::string item(int id, const std::string& more = "") {
  return fmt::format(R"({{"type":"RECORD","stream":"items","record":{{"id":{}}}{}}})", id, more) + "\n";
}
std::string activate(int version) {
  return fmt::format(R"({{"type":"ACTIVATE_VERSION","stream":"items","version":{}}})", version) + "\n";
}
std::string version(int number) { return fmt::format(R"(,"version":{})", number); }

const std::string kItemsEvent = "schema items: id bigint key, name text";

TEST(LoadSinger, RecordsComeInTheOrderOfTheirSchema) {
  EXPECT_EQ(
      read(
          kItems +
          R"({"type":"RECORD","stream":"items","record":{"name":"b","id":2}})"
          "\n"
          R"({"record":{"id":100000000000000000},"stream":"items","type":"record","time_extracted":"2026-01-01T00:00:00Z"})"
          "\n"
          R"({"type":"Record","stream":"items","record":{"id":3,"name":null,"more":1}})"),
      (Lines{kItemsEvent, "items 1: 2 'b'", "items 2: 100000000000000000 -", "items 3: 3 null",
             "apply items to 3"}));
  EXPECT_EQ(read(""), Lines{});
  EXPECT_EQ(read("\n\n" + kItems), (Lines{kItemsEvent}));
}

struct Typed {
  const char* property;
  const char* sql;
};

TEST(LoadSinger, TypesOfColumns) {
  const std::vector<Typed> table = {
      {R"({"type":"string"})", "text"},
      {R"({"type":["null","string"]})", "text"},
      {R"({"type":["string","null"],"maxLength":10})", "text"},
      {R"({"type":"integer"})", "bigint"},
      {R"({"type":"integer","minimum":0,"maximum":100})", "smallint"},
      {R"({"type":"integer","minimum":-32769,"maximum":100})", "integer"},
      {R"({"type":"integer","minimum":-2147483648,"maximum":2147483647})", "integer"},
      {R"({"type":"integer","minimum":-2147483649,"maximum":2147483647})", "bigint"},
      {R"({"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807})", "bigint"},
      {R"({"type":"integer","minimum":0})", "bigint"},
      {R"({"type":"integer","minimum":0,"maximum":100000000000000000000})", "numeric"},
      {R"({"type":"integer","exclusiveMinimum":-100000000000000000000})", "numeric"},
      {R"({"type":"number"})", "numeric"},
      {R"({"type":["integer","number","null"]})", "numeric"},
      {R"({"type":["integer","string"]})", "text"},
      {R"({"type":["boolean","null"]})", "boolean"},
      {R"({"type":["boolean","string"]})", "text"},
      {R"({"type":"string","format":"date-time"})", "timestamp with time zone"},
      {R"({"type":"string","format":"date"})", "date"},
      {R"({"type":"string","format":"time"})", "time without time zone"},
      {R"({"type":"string","format":"uuid"})", "uuid"},
      {R"({"type":"string","format":"email"})", "text"},
      {R"({"type":"string","contentEncoding":"base16"})", "bytea"},
      {R"({"type":"string","contentEncoding":"base64"})", "bytea"},
      {R"({"type":["string","integer"],"contentEncoding":"base16"})", "text"},
      {R"({"anyOf":[{"type":"string","format":"date-time"},{"type":"null"}]})", "timestamp with time zone"},
      {R"({"anyOf":[{"type":"string","format":"date-time"},{"type":["string","null"]}]})", "text"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "numeric"},
      {R"({"anyOf":[{"type":"integer"},{"type":"object","properties":{"a":{}}}]})", "jsonb"},
      {R"({"anyOf":[{"anyOf":[{"type":"integer"}]},{"type":"null"}]})", "bigint"},
      {R"({"allOf":[{"type":"integer"}]})", "bigint"},
      {R"({"type":"array","items":{"type":"string"}})", "jsonb"},
      {R"({"type":["null","object"],"properties":{"a":{"type":"string"}}})", "jsonb"},
      {R"({"type":["string","array"]})", "jsonb"},
      {R"({})", "jsonb"},
      {R"(true)", "jsonb"},
      {R"({"type":"null"})", "jsonb"},
      {R"({"type":"strange"})", "jsonb"},
      {R"({"enum":["a","b",null]})", "text"},
      {R"({"$ref":"#/definitions/when"})", "timestamp with time zone"},
  };
  for (const Typed& typed : table) {
    const auto schema = parse_singer_schema(
        fmt::format(
            R"({{"definitions":{{"when":{{"type":"string","format":"date-time"}}}},"properties":{{"c":{}}}}})",
            typed.property),
        "", {});
    ASSERT_TRUE(schema) << typed.property << schema.error();
    EXPECT_EQ(show(*schema), std::string("c ") + typed.sql) << typed.property;
  }
}

TEST(LoadSinger, ASchemaThatIsNoneSaysWhy) {
  const auto reason = [](const char* schema, const char* keys = "", SingerSchemaOptions options = {}) {
    const auto parsed = parse_singer_schema(schema, keys, options);
    return parsed ? "none" : parsed.error();
  };
  EXPECT_EQ(reason("{}"), "it has no properties");
  EXPECT_EQ(reason(R"({"properties":[]})"), "it has no properties");
  EXPECT_EQ(reason(R"({"properties":{"a":{}}})", R"(["b"])"),
            "its key property 'b' is none of its properties");
  EXPECT_EQ(reason(R"({"properties":{"a":{}}})", R"([["a"]])"),
            "its key property '[\"a\"]' is none of its properties");
  EXPECT_EQ(reason(R"({"properties":{"a":{}}})", R"({"a":1})"), "its key_properties are no array");
  EXPECT_EQ(reason(R"({"properties":{"a":{"$ref":"#/nowhere"}}})"),
            "there is nothing at the reference '#/nowhere'");
  EXPECT_EQ(reason(R"({"properties":{"a":{"$ref":"http://x/y"}}})"),
            "the reference 'http://x/y' leads out of the schema");
  EXPECT_EQ(reason(R"({"properties":{"a":{"$ref":"#/properties/a"}}})"),
            "the reference '#/properties/a' leads round in a circle");
  EXPECT_EQ(reason(R"({"properties":{"a__b":{},"a":{"type":"object","properties":{"b":{"type":"string"}}}}})",
                   "", {.flatten = 1}),
            "two of its properties become the column 'a__b'");
}

TEST(LoadSinger, NamesStayAsTheyAre) {
  EXPECT_EQ(
      read(
          R"({"type":"SCHEMA","stream":"Odd Stream-ž","schema":{"properties":{"select":{"type":"string"},"Mixed":{"type":"string"},"mixed":{"type":"string"},"with space":{"type":"string"},"ž-\"q\"":{"type":"string"}}}})"
          "\n"
          R"({"type":"RECORD","stream":"Odd Stream-ž","record":{"mixed":"m","Mixed":"M","\u017e-\"q\"":"q","with space":"w","select":"s"}})"),
      (Lines{"schema Odd Stream-ž: select text, Mixed text, mixed text, with space text, ž-\"q\" text",
             "Odd Stream-ž 1: 's' 'M' 'm' 'w' 'q'", "apply Odd Stream-ž to 1"}));
}

TEST(LoadSinger, NestedValuesAreJsonbOrFlattened) {
  const std::string text =
      R"({"type":"SCHEMA","stream":"s","schema":{"properties":{"o":{"type":"object","properties":{"a":{"type":"integer"},"p":{"type":"object","properties":{"q":{"type":"string"}}}}},"l":{"type":"array"},"any":{}}}})"
      "\n"
      R"({"type":"RECORD","stream":"s","record":{"o":{"a":1,"p":{"q":"x"}},"l":[1,"2"],"any":"text"}})"
      "\n"
      R"({"type":"RECORD","stream":"s","record":{"o":null,"l":null,"any":7}})";
  EXPECT_EQ(read(text), (Lines{"schema s: o jsonb, l jsonb, any jsonb",
                               R"(s 1: <{"a":1,"p":{"q":"x"}}> <[1,"2"]> <"text">)", "s 2: null null <7>",
                               "apply s to 2"}));
  EXPECT_EQ(read(text, {.schema = {.flatten = 1}}),
            (Lines{"schema s: o__a bigint, o__p jsonb, l jsonb, any jsonb",
                   R"(s 1: 1 <{"q":"x"}> <[1,"2"]> <"text">)", "s 2: null null null <7>", "apply s to 2"}));
  EXPECT_EQ(read(text, {.schema = {.flatten = 5}})[1], R"(s 1: 1 'x' <[1,"2"]> <"text">)");
  const std::string scalar = text.substr(0, text.find('\n')) + R"(
{"type":"RECORD","stream":"s","record":{"o":5}})";
  EXPECT_EQ(read(scalar, {.schema = {.flatten = 1}})[1],
            "s 1: line 2 'o' is no object, which its schema says it is");
}

TEST(LoadSinger, BytesAreDecoded) {
  const std::string schema =
      R"({"type":"SCHEMA","stream":"s","schema":{"properties":{"h":{"type":["string","null"],"contentEncoding":"base16"},"b":{"type":["string","null"],"contentEncoding":"base64"}}}})"
      "\n";
  const auto one = [&](const std::string& record) {
    return read(schema + R"({"type":"RECORD","stream":"s","record":)" + record + "}")[1];
  };
  EXPECT_EQ(one(R"({"h":"776569","b":"d2Vpcg=="})"), "s 1: bytes:wei bytes:weir");
  EXPECT_EQ(one(R"({"h":"","b":"d2Vp"})"), "s 1: bytes: bytes:wei");
  EXPECT_EQ(one(R"({"h":"5A5a","b":"d2Vpcg"})"), "s 1: bytes:ZZ bytes:weir");
  EXPECT_EQ(one(R"({"h":null})"), "s 1: null -");
  EXPECT_EQ(one(R"({"h":"77656"})"), "s 1: line 2 '77656' in column 'h' is not base16");
  EXPECT_EQ(one(R"({"h":"zz"})"), "s 1: line 2 'zz' in column 'h' is not base16");
  EXPECT_EQ(one(R"({"b":"d2V!"})"), "s 1: line 2 'd2V!' in column 'b' is not base64");
  EXPECT_EQ(one(R"({"b":"A"})"), "s 1: line 2 'A' in column 'b' is not base64");
  EXPECT_EQ(one(R"({"b":"Zh=="})"), "s 1: line 2 'Zh==' in column 'b' is not base64");
}

TEST(LoadSinger, ARecordWithoutItsKeyIsRejectedAndTheNextComes) {
  EXPECT_EQ(read(kItems +
                 R"({"type":"RECORD","stream":"items","record":{"name":"x"}})"
                 "\n"
                 R"({"type":"RECORD","stream":"items","record":{"id":null}})"
                 "\n" +
                 item(3)),
            (Lines{kItemsEvent, "items 1: line 2 the key column 'id' is missing",
                   "items 2: line 3 the key column 'id' is null", "items 3: 3 -", "apply items to 3"}));
}

TEST(LoadSinger, MessagesThatAreNoneFailWithTheirLine) {
  EXPECT_EQ(failure_of(kItems + "{\"type\":\"RECORD\",\"stream\":\n"),
            "the tap's output:2:27: this is no Singer message: it ends where a value was expected");
  EXPECT_EQ(failure_of("INFO starting\n"),
            "the tap's output:1:1: this is no Singer message: a value was expected, not 'INFO'");
  EXPECT_EQ(failure_of("{}"), "the tap's output:1:1: this is no Singer message: a message without a type");
  EXPECT_EQ(
      failure_of(R"({"type":"LOG"})"),
      "the tap's output:1:1: this is no Singer message: a message of type 'LOG', which Singer does not have");
  EXPECT_EQ(failure_of(R"({"type":"RECORD","record":{}})"),
            "the tap's output:1:1: this is no Singer message: a RECORD without a stream");
  EXPECT_EQ(
      failure_of(R"({"type":"RECORD","stream":"s"})"),
      "the tap's output:1:1: this is no Singer message: a RECORD of stream 's' whose record is no object");
  EXPECT_EQ(
      failure_of(R"({"type":"SCHEMA","stream":"s","schema":[]})"),
      "the tap's output:1:1: this is no Singer message: a SCHEMA of stream 's' whose schema is no object");
  EXPECT_EQ(
      failure_of(R"({"type":"ACTIVATE_VERSION","stream":"s"})"),
      "the tap's output:1:1: this is no Singer message: an ACTIVATE_VERSION of stream 's' without a version");
  EXPECT_EQ(failure_of(kItems + R"({"type":"RECORD","stream":"items","record":{"id":1},"version":1.5})"),
            "the tap's output:2:1: this is no Singer message: a version of stream 'items' that is no whole "
            "number: 1.5");
  EXPECT_EQ(failure_of("\n" + item(1)),
            "the tap's output:2: a RECORD of stream 'items' came before the stream's SCHEMA");
  EXPECT_EQ(failure_of(activate(1)),
            "the tap's output:1: an ACTIVATE_VERSION of stream 'items' came before the stream's SCHEMA");
  EXPECT_EQ(failure_of(
                R"({"type":"SCHEMA","stream":"s","schema":{"properties":{"a":{}}},"key_properties":["id"]})"),
            "the tap's output:1: the schema of stream 's': its key property 'id' is none of its properties");
  EXPECT_EQ(failure_of(kItems + item(1) + std::string(2000, 'x'), {.max_message_bytes = 1000}),
            "the tap's output:3: a message is too long: it is longer than 1000 B, the limit for one record "
            "(--max-record)");
}

TEST(LoadSinger, AMessageThatIsTooLongNamesTheOptionOfItsLimit) {
  for (const auto& [limit, option] : std::vector<std::pair<std::size_t, std::string>>{
           {1000, "--max-record 2"}, {std::size_t{3} << 20U, "--max-record 6"}}) {
    try {
      read(kItems + std::string(limit + 1, 'x'), {.max_message_bytes = limit});
      ADD_FAILURE() << "nothing was refused";
    } catch (const Error& error) {
      EXPECT_TRUE(error.remedy().ends_with(option)) << error.remedy();
    }
  }
}

TEST(LoadSinger, ASchemaThatChangesLetsTheRowsBeforeItBeAppliedFirst) {
  std::string wider = kItems;
  wider.replace(wider.find("\"id\":"), 0, R"("extra":{"type":"string"},)");
  EXPECT_EQ(read(kItems + item(1) + kItems + item(2) + wider + item(3) + wider + item(4)),
            (Lines{kItemsEvent, "items 1: 1 -", "items 2: 2 -", "apply items to 2",
                   "schema items: extra text, id bigint key, name text", "items 3: - 3 -", "items 4: - 4 -",
                   "apply items to 4"}));
  // Nothing came in between: nothing to apply.
  EXPECT_EQ(read(kItems + wider).size(), 2);
  // The key alone is a change too.
  std::string other_key = kItems;
  other_key.replace(other_key.find(R"(["id"])"), 6, R"(["name"])");
  EXPECT_EQ(read(kItems + item(1) + other_key), (Lines{kItemsEvent, "items 1: 1 -", "apply items to 1",
                                                       "schema items: id bigint, name text key"}));
}

TEST(LoadSinger, AVersionReplacesWhatWasBefore) {
  const std::string rows = kItems + item(1, version(2)) + item(2, version(2)) + activate(2);
  const Lines replaced = {kItemsEvent, "items 1: 1 -", "items 2: 2 -", "replace items to 2 version 2"};
  EXPECT_EQ(read(rows), replaced);
  EXPECT_EQ(read(rows, {.active_versions = {{"items", 1}}}), replaced);
  // The version that the target has already: an increment.
  EXPECT_EQ(read(rows, {.active_versions = {{"items", 2}}}),
            (Lines{kItemsEvent, "items 1: 1 -", "items 2: 2 -", "apply items to 2"}));
  // Rows after it are added.
  EXPECT_EQ(read(rows + item(3, version(2))),
            (Lines{kItemsEvent, "items 1: 1 -", "items 2: 2 -", "replace items to 2 version 2",
                   "items 3: 3 -", "apply items to 3"}));
}

TEST(LoadSinger, AVersionThatIsActivatedBeforeItsRows) {
  const std::string rows = kItems + activate(2) + item(1, version(2));
  // Nothing is known of versions: nothing is deleted.
  EXPECT_EQ(read(rows),
            (Lines{kItemsEvent, "apply items to 0 version 2", "items 1: 1 -", "apply items to 1"}));
  // Another one was: the target is not emptied until the rows are there.
  EXPECT_EQ(read(rows, {.active_versions = {{"items", 1}}}),
            (Lines{kItemsEvent, "items 1: 1 -", "replace items to 1 version 2"}));
  EXPECT_EQ(read(rows + activate(2) + item(2, version(2)), {.active_versions = {{"items", 1}}}),
            (Lines{kItemsEvent, "items 1: 1 -", "replace items to 1 version 2", "items 2: 2 -",
                   "apply items to 2"}));
  // A table that has become empty at its source.
  EXPECT_EQ(read(kItems + activate(2), {.active_versions = {{"items", 1}}}),
            (Lines{kItemsEvent, "replace items to 0 version 2"}));
}

TEST(LoadSinger, VersionsAreNotMixed) {
  EXPECT_EQ(read(kItems + item(1) + item(2, version(2)) + activate(2), {.active_versions = {{"items", 1}}}),
            (Lines{kItemsEvent, "items 1: 1 -", "apply items to 1", "items 2: 2 -",
                   "replace items to 2 version 2"}));
  // One that nobody activates shows at the clean end.
  EXPECT_EQ(read(kItems + item(1, version(2)), {.active_versions = {{"items", 1}}}),
            (Lines{kItemsEvent, "items 1: 1 -", "apply items to 1"}));
  EXPECT_EQ(read(kItems + item(1, version(2)) + item(2, version(3)) + activate(3),
                 {.active_versions = {{"items", 1}}}),
            (Lines{kItemsEvent, "items 1: 1 -", "apply items to 1", "items 2: 2 -",
                   "replace items to 2 version 3"}));
  // Some of its rows were applied among others, so that what is staged is not all of it.
  EXPECT_EQ(
      read(kItems + item(1, version(2)) + item(2) + activate(2), {.active_versions = {{"items", 1}}}),
      (Lines{kItemsEvent, "items 1: 1 -", "apply items to 1", "items 2: 2 -", "apply items to 2 version 2"}));
}

TEST(LoadSinger, ASchemaThatChangesInTheMiddleOfAVersionKeepsItsRowsWaiting) {
  std::string wider = kItems;
  wider.replace(wider.find("\"id\":"), 0, R"("extra":{"type":"string"},)");
  EXPECT_EQ(read(kItems + item(1, version(2)) + wider + item(2, version(2)) + activate(2)),
            (Lines{kItemsEvent, "items 1: 1 -", "schema items: extra text, id bigint key, name text (held)",
                   "items 2: - 2 -", "replace items to 2 version 2"}));
}

TEST(LoadSinger, WhatIsHeldMayNotBeAppliedInBetween) {
  SingerReader reader(bytes_of(kItems + item(1) + item(2, version(7)) + activate(7) + item(3, version(7))),
                      {});
  std::vector<bool> may;
  while (const auto event = reader.next()) may.push_back(reader.may_apply("items"));
  // schema, record, apply and held record (the record was read before the apply was handed out), replace,
  // record, apply
  EXPECT_EQ(may, (std::vector<bool>{true, true, false, false, true, true, true}));
}

TEST(LoadSinger, DeletesSoftAndHard) {
  const std::string with_column =
      R"({"type":"SCHEMA","stream":"s","schema":{"properties":{"id":{"type":"integer"},"_sdc_deleted_at":{"type":["null","string"],"format":"date-time"}}},"key_properties":["id"]})"
      "\n"
      R"({"type":"RECORD","stream":"s","record":{"id":1,"_sdc_deleted_at":null}})"
      "\n"
      R"({"type":"RECORD","stream":"s","record":{"id":2,"_sdc_deleted_at":"2026-01-01T00:00:00Z"}})";
  for (const bool soft : {false, true}) {
    EXPECT_EQ(read(with_column, {.schema = {.soft_delete = soft}}),
              (Lines{"schema s: id bigint key, _sdc_deleted_at timestamp with time zone", "s 1: 1 null",
                     "s 2: 2 '2026-01-01T00:00:00Z' (deleted)", "apply s to 2"}));
  }
  EXPECT_EQ(read(kItems + item(1), {.schema = {.soft_delete = true}})[0],
            "schema items: id bigint key, name text, _sdc_deleted_at timestamp with time zone");
}

TEST(LoadSinger, BatchesAreReadFromTheirFiles) {
  const std::map<std::string, std::string> files = {{"/a b.jsonl", "{\"id\":1}\n{\"id\":oops}\n"},
                                                    {"/c", "\n{\"name\":\"x\",\"id\":2}"}};
  SingerOptions options;
  options.open_file = [&](const std::string& path) { return bytes_of(files.at(path)); };
  const std::string batch =
      kItems +
      R"({"type":"BATCH","stream":"items","encoding":{"format":"jsonl","compression":"gzip"},"manifest":["file:///a%20b.jsonl","/c"],"version":2})"
      "\n" +
      item(3, version(2)) + activate(2);
  EXPECT_EQ(read(batch, options),
            (Lines{kItemsEvent, "items 1: 1 -", "items 2: line 2 a value was expected, not 'oops}'",
                   "items 3: 2 'x'", "items 4: 3 -", "replace items to 4 version 2"}));
  SingerReader reader(bytes_of(batch), options);
  reader.next();
  EXPECT_EQ(reader.next()->record.file, "/a b.jsonl");
  const auto broken = reader.next();
  EXPECT_EQ(broken->record.malformed_column, 7);
  const auto other = reader.next();
  EXPECT_EQ(other->record.file, "/c");
  EXPECT_EQ(other->record.line, 2);
  EXPECT_EQ(reader.next()->record.file, "");

  EXPECT_EQ(failure_of(batch), "the tap's output:2: a BATCH message: files of a tap are not read here");
  EXPECT_EQ(failure_of(
                kItems + R"({"type":"BATCH","stream":"items","encoding":{"format":"parquet"},"manifest":[]})",
                options),
            "the tap's output:2: a BATCH of stream 'items' in the format \"parquet\"");
  EXPECT_EQ(failure_of(kItems + R"({"type":"BATCH","stream":"items","manifest":["s3://bucket/x"]})", options),
            "the tap's output:2: a BATCH of stream 'items' names \"s3://bucket/x\", which is no file of this "
            "machine");
  EXPECT_EQ(failure_of(R"({"type":"BATCH","stream":"items","manifest":[]})", options),
            "the tap's output:1: a BATCH of stream 'items' came before the stream's SCHEMA");
}

TEST(LoadSinger, KeysWithoutAColumnAreRemembered) {
  SingerReader reader(
      bytes_of(kItems + R"({"type":"RECORD","stream":"items","record":{"id":1,"x":1,"y":2,"x":3}})"), {});
  while (reader.next()) {
  }
  EXPECT_EQ(reader.unknown_keys("items"), (Lines{"x", "y"}));
  EXPECT_EQ(reader.unknown_keys("other"), Lines{});
}

}  // namespace
}  // namespace weir::load
