#include "pipeline/task/sql_script.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pipeline/task/sql_lexer.h"

namespace weir::pipeline {
namespace {

using Kind = SqlToken::Kind;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string lower(std::string_view word) {
  std::string out(word);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

int lines_in(std::string_view text) noexcept {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

/// Whether a semicolon ends the statement, as psql judges it: not in parentheses, nor in the body of a
/// function that is written BEGIN ATOMIC .. END.
class Nesting {
 public:
  void take(const SqlToken& token, std::string_view text) {
    if (token.kind == Kind::open) ++parentheses_;
    if (token.kind == Kind::close && parentheses_ > 0) --parentheses_;
    if (token.kind != Kind::word) return;
    const std::string word = lower(text);
    if (words_ < 4 && (word == "create" || word == "or" || word == "replace" || word == "function" ||
                       word == "procedure")) {
      head_ += word.front();
    } else if (words_ < 4) {
      head_ += ' ';
    }
    ++words_;
    if (parentheses_ > 0 || !makes_function()) return;
    if (word == "begin" || (word == "case" && begins_ > 0)) ++begins_;
    if (word == "end" && begins_ > 0) --begins_;
  }
  [[nodiscard]] bool open() const noexcept { return parentheses_ > 0 || begins_ > 0; }
  [[nodiscard]] bool in_parentheses() const noexcept { return parentheses_ > 0; }

 private:
  [[nodiscard]] bool makes_function() const noexcept {
    return head_.starts_with("cf") || head_.starts_with("cp") || head_.starts_with("corf") ||
           head_.starts_with("corp");
  }

  std::string head_;
  int words_ = 0;
  int parentheses_ = 0;
  int begins_ = 0;
};

/// What a statement is, by its first words and by `FROM STDIN` outside of parentheses.
class Look {
 public:
  void take(const SqlToken& token, std::string_view text, bool in_parentheses) {
    if (in_parentheses) return;
    std::string word = token.kind == Kind::word ? lower(text) : std::string();
    if (first_.size() < 4) first_.push_back(token.kind == Kind::quoted ? "'" : word);
    to_client_ =
        to_client_ || (before_ == "from" && word == "stdin") || (before_ == "to" && word == "stdout");
    before_ = std::move(word);
  }

  struct Refusal {
    std::string what;
    std::string remedy;
  };
  [[nodiscard]] std::optional<Refusal> refusal() const {
    if (first_.empty()) return std::nullopt;
    const std::string& verb = first_.front();
    const auto at = [&](std::size_t i) { return i < first_.size() ? first_[i] : std::string(); };
    const bool named = at(1) == "work" || at(1) == "transaction";
    const bool to_savepoint = verb == "rollback" && at(named ? 2 : 1) == "to";
    const bool prepared = verb == "prepare" && at(1) == "transaction" && at(2) == "'";
    const bool ends = verb == "begin" || verb == "commit" || verb == "end" || verb == "abort" ||
                      (verb == "start" && at(1) == "transaction") || (verb == "rollback" && !to_savepoint) ||
                      prepared;
    if (ends) {
      std::string name = verb;
      std::transform(name.begin(), name.end(), name.begin(),
                     [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
      return Refusal{
          fmt::format("{} in a task: its statements share one transaction with its success",
                      prepared ? "PREPARE TRANSACTION" : name),
          "Leave it out (psql -1 runs the file the same way), or split the task in two; savepoints "
          "are allowed."};
    }
    if (verb == "copy" && to_client_) {
      return Refusal{"COPY from or to the client: there is none",
                     "Load data with a task of kind load, or COPY from a file of the server."};
    }
    return std::nullopt;
  }

 private:
  std::vector<std::string> first_;
  std::string before_;
  bool to_client_ = false;
};

}  // namespace

SqlScript::Fault::Fault(const std::string& place, int line, std::string message, std::string remedy)
    : Error(ExitCode::definition, fmt::format("{}: {}", place, message), std::move(remedy)),
      line_(line),
      message_(std::move(message)) {}

SqlScript::SqlScript(std::string text, std::string file) : text_(std::move(text)), file_(std::move(file)) {
  // psql skips it as well; blanked, so that positions stay.
  if (text_.starts_with(kByteOrderMark)) text_.replace(0, kByteOrderMark.size(), "   ");
  const auto line_of = [&](std::size_t at) { return lines_in(std::string_view(text_).substr(0, at)) + 1; };
  const auto refuse = [&](std::size_t at, std::string_view what, std::string remedy) {
    const int line = line_of(at);
    throw Fault(place(line), line, std::string(what), std::move(remedy));
  };
  if (const auto at = text_.find('\0'); at != std::string::npos)
    refuse(at, "a zero byte", "It is no text: is it UTF-16? Save it as UTF-8.");
  if (const auto at = find_invalid_utf8(text_)) refuse(*at, "it is not UTF-8", "Save it as UTF-8.");

  SqlLexer lexer(text_);
  int line = 1;
  std::size_t counted = 0;
  for (bool more = true; more;) {
    SqlStatement statement;
    Nesting nesting;
    Look look;
    for (;;) {
      const SqlToken token = lexer.next();
      const std::string_view piece = std::string_view(text_).substr(token.begin, token.end - token.begin);
      more = token.kind != Kind::end;
      if (!more || (token.kind == Kind::semicolon && !nesting.open())) break;
      if (token.kind == Kind::unterminated) {
        refuse(token.begin, fmt::format("{} has no end", piece.starts_with("/*") ? "a comment" : "a quote"),
               "It begins at this line.");
      }
      if (token.kind == Kind::backslash) {
        const std::string_view rest = std::string_view(text_).substr(token.begin);
        refuse(
            token.begin,
            fmt::format("'{}' is a command of psql", elide(printable(rest.substr(0, rest.find('\n'))), 40)),
            "A task has SQL alone: weir.param('name') reads a parameter, and files are tasks of their own.");
      }
      if (statement.size == 0) {
        line += lines_in(std::string_view(text_).substr(counted, token.begin - counted));
        counted = token.begin;
        statement.begin = token.begin;
        statement.line = line;
      }
      statement.size = token.end - statement.begin;
      nesting.take(token, piece);
      look.take(token, piece, nesting.in_parentheses());
    }
    if (statement.size == 0) continue;
    if (auto refusal = look.refusal()) refuse(statement.begin, refusal->what, std::move(refusal->remedy));
    statements_.push_back(statement);
  }
}

Position SqlScript::position_of(const SqlStatement& statement, int character) const {
  std::size_t at = statement.begin;
  const std::size_t end = statement.begin + statement.size;
  for (int passed = 1; passed < character && at < end; ++passed)
    at += std::max<std::size_t>(1, utf8_length(std::string_view(text_).substr(at)));
  const std::size_t before = text_.rfind('\n', at == 0 ? 0 : at - 1);
  const std::size_t line_begin = before == std::string::npos || at == 0 ? 0 : before + 1;
  int column = 1;
  for (std::size_t look = line_begin; look < at; ++column)
    look += std::max<std::size_t>(1, utf8_length(std::string_view(text_).substr(look)));
  return {file_, lines_in(std::string_view(text_).substr(0, at)) + 1, column};
}

std::string SqlScript::place(int line) const {
  return file_.empty() ? fmt::format("line {} of the SQL", line)
                       : fmt::format("{}:{}", printable(file_), line);
}

}  // namespace weir::pipeline
