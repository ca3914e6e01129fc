#include "pipeline/define/model_sql.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "pipeline/define/reading.h"
#include "schema/gen/sql_lexer.h"

namespace weir::pipeline {
namespace {

using sqlgen::Token;
using std::string_view_literals::operator""sv;

constexpr std::array kQueryWords{"select"sv, "with"sv, "values"sv, "table"sv};

bool is_word(const Token& token, std::string_view word) noexcept {
  return token.kind == Token::Kind::word &&
         std::equal(
             token.text.begin(), token.text.end(), word.begin(), word.end(), [](char left, char right) {
               return (left >= 'A' && left <= 'Z' ? static_cast<char>(left - 'A' + 'a') : left) == right;
             });
}

bool is_symbol(const Token& token, char symbol) noexcept {
  return token.kind == Token::Kind::symbol && token.text.size() == 1 && token.text.front() == symbol;
}

/// What counts, without blanks and comments.
std::vector<Token> tokens_of(std::string_view sql, std::vector<SqlFault>& faults) {
  std::vector<Token> tokens;
  sqlgen::SqlLexer lexer(sql);
  try {
    for (Token token = lexer.next(); token.kind != Token::Kind::end; token = lexer.next()) {
      const bool counts = token.kind != Token::Kind::whitespace && token.kind != Token::Kind::line_comment &&
                          token.kind != Token::Kind::block_comment;
      if (counts) tokens.push_back(token);
    }
  } catch (const sqlgen::SyntaxError& error) {
    faults.push_back({error.offset, error.message});
  }
  return tokens;
}

class Scanner {
 public:
  Scanner(std::string_view sql, SqlScan& scan) : scan_(scan), tokens_(tokens_of(sql, scan.faults)) {}

  void run() {
    if (!scan_.faults.empty()) return;
    trim_semicolons();
    if (tokens_.empty()) {
      fault(0, "there is no query in it");
      return;
    }
    check_first();
    scan_.begin = tokens_.front().offset;
    scan_.end = tokens_.back().offset + tokens_.back().text.size();
    while (at_ < tokens_.size()) step();
  }

 private:
  [[nodiscard]] bool symbol(std::size_t at, char wanted) const noexcept {
    return at < tokens_.size() && is_symbol(tokens_[at], wanted);
  }

  void fault(std::size_t offset, std::string message, std::string remedy = {}) {
    scan_.faults.push_back({offset, std::move(message), std::move(remedy)});
  }

  void trim_semicolons() {
    while (!tokens_.empty() && tokens_.back().kind == Token::Kind::semicolon) tokens_.pop_back();
    for (const Token& token : tokens_) {
      if (token.kind != Token::Kind::semicolon) continue;
      fault(token.offset, "there is more than one statement", "Several belong into a task of kind sql.");
      return;
    }
  }

  void check_first() {
    const Token& first = tokens_.front();
    const bool query =
        is_symbol(first, '(') || is_symbol(first, '{') ||
        std::any_of(kQueryWords.begin(), kQueryWords.end(), [&](auto word) { return is_word(first, word); });
    if (!query) {
      fault(first.offset,
            fmt::format("a query begins with SELECT or WITH, and this with {}", in_quotes(first.text)),
            "Other statements belong into a task of kind sql.");
    }
  }

  void step() {
    if (symbol(at_, '{') && symbol(at_ + 1, '{')) {
      take_braces();
      return;
    }
    const bool qualified = at_ > 0 && symbol(at_ - 1, '.');
    const std::size_t begin = at_;
    if (!qualified && symbol(at_ + 1, '(') &&
        (is_word(tokens_[at_], "ref") || is_word(tokens_[at_], "this"))) {
      if (auto name = take_call()) add(begin, at_, std::move(*name));
      return;
    }
    ++at_;
  }

  /// ref('x') or this(), from its word on. Moves behind it; nothing, and a fault, where it is neither.
  std::optional<std::string> take_call() {
    const Token& word = tokens_[at_];
    const bool self = is_word(word, "this");
    if (self && symbol(at_ + 2, ')')) {
      at_ += 3;
      return "";
    }
    const bool name = !self && at_ + 2 < tokens_.size() && tokens_[at_ + 2].kind == Token::Kind::string &&
                      tokens_[at_ + 2].text.starts_with('\'') && symbol(at_ + 3, ')');
    if (!name) {
      fault(word.offset, self ? "this() takes nothing" : "ref() takes one name in single quotes",
            self ? "" : "Write ref('schema.table').");
      at_ += 2;
      return {};
    }
    std::string_view text = tokens_[at_ + 2].text;
    text = text.substr(1, text.size() - 2);
    std::string found;
    for (std::size_t i = 0; i < text.size(); ++i) {
      found += text[i];
      if (text[i] == '\'') ++i;
    }
    if (found.empty()) fault(word.offset, "ref() names nothing");
    at_ += 4;
    return found.empty() ? std::nullopt : std::optional(found);
  }

  /// The same within braces, as dbt writes it; any other template is none of ours.
  void take_braces() {
    const std::size_t begin = at_;
    at_ += 2;
    std::optional<std::string> name;
    const std::size_t faults = scan_.faults.size();
    if (at_ < tokens_.size() && is_word(tokens_[at_], "this") && symbol(at_ + 1, '}')) {
      ++at_;
      name = "";
    } else if (symbol(at_ + 1, '(') && (is_word(tokens_[at_], "ref") || is_word(tokens_[at_], "this"))) {
      name = take_call();
    }
    if (name && symbol(at_, '}') && symbol(at_ + 1, '}')) {
      at_ += 2;
      add(begin, at_, std::move(*name));
    } else if (scan_.faults.size() == faults) {
      fault(tokens_[begin].offset, "there are no templates but ref() and this()",
            "Parameters are read with weir.param('x'); see docs/pipelines.md.");
    }
  }

  void add(std::size_t first, std::size_t behind, std::string name) {
    const std::size_t offset = tokens_[first].offset;
    const Token& last = tokens_[behind - 1];
    scan_.references.push_back({offset, last.offset + last.text.size() - offset, std::move(name)});
  }

  SqlScan& scan_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

}  // namespace

ModelText split_model(std::string_view text) {
  constexpr std::string_view kOpen = "/*";
  constexpr std::string_view kWord = "weir";
  ModelText model;
  if (!text.starts_with(kOpen)) return model;
  std::size_t at = std::min(text.find_first_not_of(" \t", kOpen.size()), text.size());
  if (!text.substr(at).starts_with(kWord)) return model;
  at += kWord.size();
  if (at < text.size() && std::string_view(" \t\r\n*").find(text[at]) == std::string_view::npos) return model;
  const std::size_t close = text.find("*/", at);
  model.unclosed = close == std::string_view::npos;
  const std::size_t end = model.unclosed ? text.size() : close;
  model.front = std::string(at, ' ') + std::string(text.substr(at, end - at));
  model.sql = model.unclosed ? text.size() : close + kOpen.size();
  return model;
}

SqlScan scan_query(std::string_view sql) {
  SqlScan scan;
  Scanner(sql, scan).run();
  return scan;
}

std::string replace_references(std::string_view sql, const SqlScan& scan,
                               const std::function<std::string(const SqlReference&)>& relation_of) {
  std::string text;
  std::size_t at = scan.begin;
  for (const SqlReference& reference : scan.references) {
    text += sql.substr(at, reference.offset - at);
    text += relation_of(reference);
    at = reference.offset + reference.length;
  }
  text += sql.substr(at, scan.end - at);
  return text;
}

}  // namespace weir::pipeline
