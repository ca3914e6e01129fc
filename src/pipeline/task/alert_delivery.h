#pragma once

#include <filesystem>
#include <string>

#include "base/clock.h"
#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// What is told, and of what.
struct AlertMessage {
  std::string event;  ///< failed, late, success, recovered
  std::string pipeline;
  std::int64_t run = 0;
  std::string document;  ///< JSON
};

/// Posts the document to the alert's URL, or runs its program with the document as standard input: in a
/// process group of its own that is killed when `limit` has passed, and without what would lead it to the
/// state database. Answers nothing when it was taken, else why not: never with a word of the URL.
std::string deliver_alert(const Alert& alert, const AlertMessage& message,
                          const std::filesystem::path& project, Duration limit);

/// How an alert is shown: a URL as it was written where it names a secret, else its host alone, for the path
/// of a webhook is one, too; of a program its name.
std::string alert_target(const Alert& alert);

}  // namespace weir::pipeline
