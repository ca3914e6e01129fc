#include "cli/parse.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::cli {
namespace {

constexpr std::array kGlobal{
    OptionSpec{"project", 'C', "DIR", "the project folder (default: the current folder)"},
    OptionSpec{"database-url", 0, "URL",
               "the database to use, instead of $DATABASE_URL or the private server"},
    OptionSpec{"json", 0, "", "results as JSON on standard output, errors too"},
    OptionSpec{"log", 0, "human|json", "form of the log on standard error (default: human)"},
    OptionSpec{"log-level", 0, "LEVEL", "debug, info, warn, error or off (default: info)"},
    OptionSpec{"verbose", 'v', "", "the same as --log-level debug"},
    OptionSpec{"quiet", 'q', "", "no progress and no notes; errors are still told"},
    OptionSpec{"color", 0, "WHEN", "auto, always or never (default: auto; NO_COLOR counts)"},
    OptionSpec{"help", 'h', "", "help on the command"},
};

template <class Value>
struct Choice {
  std::string_view word;
  Value value;
};
template <class Value>
Choice(std::string_view, Value) -> Choice<Value>;

constexpr std::array kLogFormats{Choice{"human", log::Format::human}, Choice{"json", log::Format::json}};
constexpr std::array kLogLevels{Choice{"debug", log::Level::debug}, Choice{"info", log::Level::info},
                                Choice{"warn", log::Level::warn}, Choice{"error", log::Level::error},
                                Choice{"off", log::Level::off}};
constexpr std::array kColors{Choice{"auto", ColorChoice::automatic}, Choice{"always", ColorChoice::always},
                             Choice{"never", ColorChoice::never}};

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known,
                         std::string_view dashes, std::string_view otherwise) {
  const auto near = closest(word, known);
  return near ? fmt::format("Did you mean '{}{}'? {}", dashes, *near, otherwise) : std::string(otherwise);
}

/// Goes through the words once, from left to right.
class Parser {
 public:
  Parser(const Registry& registry, std::span<const std::string_view> words)
      : registry_(registry), words_(words) {}

  Invocation run() {
    while (at_ < words_.size()) {
      const std::string_view word = words_[at_++];
      if (word == "--") {
        take_rest();
      } else if (word.starts_with("--")) {
        take_long(word);
      } else if (word.size() > 1 && word.front() == '-') {
        take_letters(word);
      } else {
        take_word(word);
      }
    }
    finish();
    return std::move(result_);
  }

 private:
  [[nodiscard]] std::string help_command() const {
    if (result_.command != nullptr) return fmt::format("weir help {}", result_.command->path);
    return result_.group.empty() ? "weir help" : fmt::format("weir help {}", result_.group);
  }

  [[nodiscard]] std::vector<const OptionSpec*> options() const {
    std::vector<const OptionSpec*> all;
    if (result_.command != nullptr) {
      for (const OptionSpec& option : result_.command->options) all.push_back(&option);
    }
    for (const OptionSpec& option : kGlobal) all.push_back(&option);
    return all;
  }

  void take_word(std::string_view word) {
    if (result_.command == nullptr) {
      const std::string path =
          result_.group.empty() ? std::string(word) : fmt::format("{} {}", result_.group, word);
      result_.command = registry_.find(path);
      if (result_.command != nullptr) return;
      const CommandGroup* const group = result_.group.empty() ? registry_.find_group(word) : nullptr;
      if (group == nullptr) throw_unknown_command(word);
      result_.group = group->name;
      return;
    }
    if (take_subcommand(word)) return;
    if (result_.command->words.empty()) {
      throw Error(ExitCode::usage,
                  fmt::format("unexpected argument '{}' for {}", printable(word), result_.command->path),
                  fmt::format("See: {}", help_command()));
    }
    result_.arguments.words.emplace_back(word);
  }

  /// A command may have commands of its own (`load`, `load history`). Their word comes first: behind an
  /// argument or an option of the command it is an argument.
  bool take_subcommand(std::string_view word) {
    if (has_own_option_ || !result_.arguments.words.empty()) return false;
    const Command* const within = registry_.find(fmt::format("{} {}", result_.command->path, word));
    if (within != nullptr) result_.command = within;
    return within != nullptr;
  }

  [[noreturn]] void throw_unknown_command(std::string_view word) const {
    const auto known = registry_.words_after(result_.group);
    const std::string written = result_.group.empty() ? "" : fmt::format("{} ", result_.group);
    throw Error(ExitCode::usage, fmt::format("unknown command '{}{}'", written, printable(word)),
                did_you_mean(word, known, "", fmt::format("All commands: {}", help_command())));
  }

  void take_long(std::string_view word) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string_view name = word.substr(2, equals - 2);
    const auto all = options();
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto* o) { return o->name == name; });
    if (found == all.end()) {
      std::vector<std::string_view> known;
      known.reserve(all.size());
      for (const OptionSpec* option : all) known.push_back(option->name);
      throw_unknown_option(word.substr(0, equals),
                           did_you_mean(name, known, "--", fmt::format("See: {}", help_command())));
    }
    std::optional<std::string_view> attached;
    if (equals < word.size()) attached = word.substr(equals + 1);
    take_option(**found, attached, word.substr(0, equals));
  }

  /// `-q`, `-qv`, `-C dir`, `-Cdir`.
  void take_letters(std::string_view word) {
    const auto all = options();
    for (std::size_t i = 1; i < word.size(); ++i) {
      const char letter = word[i];
      const std::string name = fmt::format("-{}", letter);
      const auto found =
          std::find_if(all.begin(), all.end(), [&](const auto* o) { return o->letter == letter; });
      if (found == all.end()) throw_unknown_option(name, fmt::format("See: {}", help_command()));
      if ((*found)->value.empty()) {
        take_option(**found, std::nullopt, name);
        continue;
      }
      const std::string_view tail = word.substr(i + 1);
      take_option(**found, tail.empty() ? std::nullopt : std::optional(tail), name);
      return;
    }
  }

  [[noreturn]] void throw_unknown_option(std::string_view option, std::string remedy) const {
    const std::string place = result_.command == nullptr ? "" : fmt::format(" for {}", result_.command->path);
    throw Error(ExitCode::usage, fmt::format("unknown option '{}'{}", printable(option), place),
                std::move(remedy));
  }

  void take_option(const OptionSpec& option, std::optional<std::string_view> attached,
                   std::string_view written) {
    const bool is_global = std::any_of(kGlobal.begin(), kGlobal.end(),
                                       [&](const OptionSpec& known) { return known.name == option.name; });
    if (!is_global) has_own_option_ = true;
    if (option.value.empty()) {
      if (attached) {
        throw Error(ExitCode::usage, fmt::format("option '{}' takes no value", written),
                    fmt::format("See: {}", help_command()));
      }
      result_.arguments.set(option.name, "");
      return;
    }
    // What looks like an option was hardly meant as a value; `--option=-value` says it beyond doubt.
    if (!attached && at_ < words_.size() && (words_[at_] == "-" || !words_[at_].starts_with('-')))
      attached = words_[at_++];
    if (!attached) {
      throw Error(ExitCode::usage, fmt::format("option '{}' needs a value: {}", written, option.value),
                  fmt::format("See: {}", help_command()));
    }
    result_.arguments.set(option.name, std::string(*attached));
  }

  void take_rest() {
    if (result_.command != nullptr && result_.command->rest.empty() && at_ < words_.size()) {
      throw Error(ExitCode::usage, fmt::format("{} takes nothing behind '--'", result_.command->path),
                  fmt::format("See: {}", help_command()));
    }
    result_.arguments.rest.assign(words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end());
    at_ = words_.size();
  }

  template <std::size_t N, class Value>
  void choose(const std::array<Choice<Value>, N>& choices, std::string_view option, Value& target) const {
    const auto word = result_.arguments.value(option);
    if (!word) return;
    std::vector<std::string_view> known;
    for (const auto& choice : choices) {
      known.push_back(choice.word);
      if (choice.word != *word) continue;
      target = choice.value;
      return;
    }
    throw Error(
        ExitCode::usage,
        fmt::format("--{} is '{}', which is none of: {}", option, printable(*word), fmt::join(known, ", ")),
        did_you_mean(*word, known, "", fmt::format("See: {}", help_command())));
  }

  void finish() {
    const Arguments& given = result_.arguments;
    GlobalOptions& global = result_.global;
    result_.help = given.has("help");
    global.json = given.has("json");
    global.quiet = given.has("quiet");
    if (given.has("verbose")) global.log_level = log::Level::debug;
    if (const auto folder = given.value("project")) global.project = *folder;
    global.database_url = given.value("database-url");
    choose(kLogFormats, "log", global.log_format);
    choose(kLogLevels, "log-level", global.log_level);
    choose(kColors, "color", global.color);
    if (result_.command != nullptr || result_.help) return;
    const auto known = registry_.words_after(result_.group);
    const std::string what =
        result_.group.empty() ? "no command was given" : fmt::format("{} needs a command", result_.group);
    throw Error(ExitCode::usage, what,
                fmt::format("One of: {}. See: {}", fmt::join(known, ", "), help_command()));
  }

  const Registry& registry_;
  std::span<const std::string_view> words_;
  std::size_t at_ = 0;
  bool has_own_option_ = false;  // one that only the command has
  Invocation result_;
};

}  // namespace

std::span<const OptionSpec> global_options() noexcept { return kGlobal; }

Invocation parse(const Registry& registry, std::span<const std::string_view> words) {
  return Parser(registry, words).run();
}

bool wants_json(std::span<const std::string_view> words) noexcept {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

bool tells_states(std::span<const std::string_view> words) noexcept {
  const auto end = std::find(words.begin(), words.end(), "--");
  for (auto word = words.begin(); word != end; ++word) {
    if (*word == "--singer" || *word == "--format=singer") return true;
    if (*word == "singer" && word != words.begin() && *std::prev(word) == "--format") return true;
  }
  return false;
}

}  // namespace weir::cli
