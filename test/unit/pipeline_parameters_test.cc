// Values that somebody gives to a run: of their type, or refused at once.

#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "base/error.h"
#include "pipeline/run/parameters.h"

namespace weir::pipeline {
namespace {

using testing::HasSubstr;
using Type = Parameter::Type;

std::string given(Type type, const std::string& value) {
  const PipelineDefinition pipeline{.name = "p", .parameters = {{.name = "x", .type = type}}};
  return run_parameters(pipeline, {{"x", value}});
}

/// What it says, and what helps.
std::string refused(Type type, const std::string& value) {
  try {
    return "taken: " + given(type, value);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    return std::string(error.what()) + " | " + std::string(error.remedy());
  }
}

TEST(PipelineParameters, ADateThatIsNoneIsRefusedWhenTheRunIsMade) {
  EXPECT_EQ(given(Type::date, "2028-02-29"), R"({"x":"2028-02-29"})");
  for (const char* const bad : {"2026-02-29", "2026-13-01", "yesterday", "2026-1-1", "01.02.2026", "",
                                " 2026-01-01", "2026-01-01 06:00", "2026-01-01x", "0000-01-01", "infinity"}) {
    EXPECT_THAT(refused(Type::date, bad), HasSubstr("parameter x of p is a date, and '")) << bad;
    EXPECT_THAT(refused(Type::date, bad), HasSubstr("Write: --param x=2026-01-31")) << bad;
  }
}

TEST(PipelineParameters, ATimestampIsADayATimeOrAnInstant) {
  for (const char* const good :
       {"2026-01-31", "2026-01-31 06:00", "2026-01-31T06:00", "2026-01-31T06:00:59", "2026-01-31T06:00Z",
        "2026-01-31 06:00:00+02:00", "2026-01-31T06:00:00.5Z", "2026-01-31T06:00:00.123456", "0001-01-01"}) {
    EXPECT_EQ(refused(Type::timestamp, good), std::string("taken: {\"x\":\"") + good + "\"}");
  }
  for (const char* const bad : {"2026-02-30 06:00", "2026-01-31 24:01", "2026-01-31 06:60", "now",
                                "2026-01-31T06:00:00.", "2026-01-31.5", "2026-01-31T06:00:00.5.5",
                                "2026-01-31T06:00 Europe/Paris", "2026-01-31T06:00.5", ""}) {
    EXPECT_THAT(refused(Type::timestamp, bad), HasSubstr("is a timestamp, and '")) << bad;
    EXPECT_THAT(refused(Type::timestamp, bad), HasSubstr("2026-01-31T06:00Z")) << bad;
  }
}

TEST(PipelineParameters, ANumberIsOneThatJsonHas) {
  EXPECT_EQ(given(Type::number, "-1.5e3"), R"({"x":-1500.0})");
  EXPECT_EQ(given(Type::integer, "-42"), R"({"x":-42})");
  for (const char* const bad : {"inf", "-infinity", "nan", "1,5", "1.5x", "", "0x10"})
    EXPECT_THAT(refused(Type::number, bad), HasSubstr("is a number, and '")) << bad;
  for (const char* const bad : {"1.0", "9223372036854775808", "1e3", ""})
    EXPECT_THAT(refused(Type::integer, bad), HasSubstr("Write a whole number: --param x=42")) << bad;
  EXPECT_THAT(refused(Type::boolean, "yes"), HasSubstr("Write: --param x=true"));
}

TEST(PipelineParameters, ADefaultIsNotAskedAgain) {
  // It was when it was deployed, perhaps by another version of Weir: a schedule must not stand still for it.
  const PipelineDefinition pipeline{
      .name = "p", .parameters = {{.name = "day", .type = Type::date, .default_value = "2026-1-1"}}};
  EXPECT_EQ(default_parameters(pipeline), R"({"day":"2026-1-1"})");
  EXPECT_EQ(run_parameters(pipeline, {}), R"({"day":"2026-1-1"})");
}

}  // namespace
}  // namespace weir::pipeline
