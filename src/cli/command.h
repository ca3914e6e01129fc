#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "cli/global_options.h"
#include "cli/term/line_printer.h"
#include "cli/term/output.h"

namespace weir::cli {

struct OptionSpec {
  std::string_view name;   ///< without its dashes
  char letter = 0;         ///< the short form; 0 when there is none
  std::string_view value;  ///< what it takes, as help shows it ("DIR"); empty for a switch
  std::string_view help;
};

/// What the user wrote behind a command's name.
class Arguments {
 public:
  void set(std::string_view option, std::string value) {
    options_[std::string(option)].push_back(std::move(value));
  }

  [[nodiscard]] bool has(std::string_view option) const { return options_.contains(option); }
  /// The last one counts.
  [[nodiscard]] std::optional<std::string> value(std::string_view option) const;
  /// For an option that may be given several times.
  [[nodiscard]] std::vector<std::string> values(std::string_view option) const;
  /// Throws the usage error that names the option and the range.
  [[nodiscard]] std::optional<int> number(std::string_view option, int least, int most) const;
  /// "250ms", "5s", "2m", "1h", "1d"; the same.
  [[nodiscard]] std::optional<Duration> duration(std::string_view option, Duration least,
                                                 Duration most) const;

  std::vector<std::string> words;  ///< what is no option
  std::vector<std::string> rest;   ///< everything behind `--`, untouched

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> options_;
};

/// What a running command may use.
struct Context {
  const GlobalOptions& global;
  const Arguments& arguments;
  Output& out;
  LinePrinter& progress;
  std::stop_token stop;  ///< Ctrl-C, SIGTERM
};

struct Example {
  std::string_view command;
  std::string_view what;
};

/// One command as data: the parser, the help and the suggestions read it; run() is all there is to do.
struct Command {
  std::string_view path;     ///< "db start"
  std::string_view summary;  ///< one line, for lists
  std::string_view description;
  std::vector<OptionSpec> options{};
  std::string_view words{};  ///< what it takes without dashes, as help shows it; empty: nothing
  std::string_view rest{};   ///< what it takes behind `--`; empty: nothing
  std::vector<Example> examples{};
  std::function<ExitCode(Context&)> run;
};

/// A word that stands for several commands: "db".
struct CommandGroup {
  std::string_view name;
  std::string_view summary;
};

struct Registry {
  std::vector<CommandGroup> groups;
  std::vector<Command> commands;  ///< in the order of help

  [[nodiscard]] const Command* find(std::string_view path) const noexcept;
  [[nodiscard]] const CommandGroup* find_group(std::string_view name) const noexcept;
  /// The words that may follow: commands and groups at the top, the commands of a group within it.
  [[nodiscard]] std::vector<std::string_view> words_after(std::string_view group) const;
};

}  // namespace weir::cli
