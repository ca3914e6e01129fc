#include "schema/gen/query_file.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "schema/gen/signature.h"
#include "schema/gen/sql_lexer.h"

namespace weir::sqlgen {
namespace {

using Kind = Token::Kind;

constexpr std::string_view kMarker = "name:";

bool is_comment(const Token& token) noexcept {
  return token.kind == Kind::line_comment || token.kind == Kind::block_comment;
}

/// What a `--` comment says.
std::string_view comment_text(const Token& token) noexcept {
  std::string_view text = token.text.substr(2);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text.starts_with(' ') ? text.substr(1) : text;
}

bool is_header(const Token& token) noexcept {
  return token.kind == Kind::line_comment && trim(comment_text(token)).starts_with(kMarker);
}

bool ends_with_name(std::string_view text) noexcept {
  if (text.empty()) return false;
  const char c = text.back();
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// Puts a statement together again: without comments, with $n.
class StatementWriter {
 public:
  explicit StatementWriter(const QueryDefinition& query) : query_(query), used_(query.parameters.size()) {}

  void add(const Token& token) {
    if (is_comment(token)) {
      space_ += ' ';
    } else if (token.kind == Kind::whitespace) {
      space_ += token.text;
    } else {
      flush_space();
      if (token.kind == Kind::parameter) {
        add_parameter(token);
      } else if (token.kind == Kind::positional) {
        throw SyntaxError{token.offset,
                          "write the parameter's name, as in :lane, not " + std::string(token.text)};
      } else {
        sql_ += token.text;
      }
    }
  }

  std::string finish(std::size_t offset) {
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (!used_[i]) {
        throw SyntaxError{offset,
                          "parameter '" + query_.parameters[i].name + "' of " + query_.name +
                              " is not used (inside [ ] a colon behind a value is a slice: a[lo: :hi])"};
      }
    }
    return std::move(sql_);
  }

  [[nodiscard]] bool empty() const noexcept { return sql_.empty(); }

 private:
  void flush_space() {
    if (!sql_.empty() && !space_.empty()) {
      const std::size_t last_line = space_.rfind('\n');
      sql_ += last_line == std::string::npos ? " " : space_.substr(last_line);
    }
    space_.clear();
  }

  void add_parameter(const Token& token) {
    const std::string_view name = token.text.substr(1);
    const auto found = std::find_if(query_.parameters.begin(), query_.parameters.end(),
                                    [name](const Field& field) { return field.name == name; });
    if (found == query_.parameters.end()) {
      throw SyntaxError{token.offset,
                        std::string(token.text) + " is not among the parameters of " + query_.name};
    }
    const auto index = static_cast<std::size_t>(found - query_.parameters.begin());
    used_[index] = true;
    // x:p must not become the name x$1.
    if (ends_with_name(sql_)) sql_ += ' ';
    sql_ += '$' + std::to_string(index + 1);
  }

  const QueryDefinition& query_;
  std::vector<bool> used_;
  std::string sql_;
  std::string space_;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), lexer_(text) { advance(); }

  std::vector<QueryDefinition> parse() {
    std::vector<QueryDefinition> queries;
    skip_to_header("a statement stands before the first '-- name:' header");
    while (token_.kind != Kind::end) {
      QueryDefinition query = parse_query();
      const auto same = [&](const QueryDefinition& other) {
        return other.name == query.name || other.struct_name() == query.struct_name();
      };
      if (std::any_of(queries.begin(), queries.end(), same)) {
        throw SyntaxError{header_offset_, "a query named " + query.name + " (in C++ " + query.struct_name() +
                                              ") exists already"};
      }
      queries.push_back(std::move(query));
    }
    return queries;
  }

 private:
  void advance() { token_ = lexer_.next(); }

  void skip_to_header(const char* complaint) {
    while (token_.kind != Kind::end && !is_header(token_)) {
      if (token_.kind != Kind::whitespace && !is_comment(token_)) throw SyntaxError{token_.offset, complaint};
      advance();
    }
  }

  QueryDefinition parse_query() {
    QueryDefinition query;
    header_offset_ = token_.offset;
    query.line = line_of(text_, header_offset_);
    parse_header(query);
    parse_doc(query);
    parse_statement(query);
    skip_to_header("a second statement under one name");
    return query;
  }

  /// Moves to the next token if it is a comment on the next line.
  bool next_comment_line() {
    advance();
    if (token_.kind == Kind::whitespace && std::count(token_.text.begin(), token_.text.end(), '\n') == 1)
      advance();
    return token_.kind == Kind::line_comment && !is_header(token_);
  }

  void parse_header(QueryDefinition& query) {
    std::string text(trim(comment_text(token_)).substr(kMarker.size()));
    bool more = next_comment_line();
    while (more && !is_complete_signature(text)) {
      text.append("\n").append(comment_text(token_));
      more = next_comment_line();
    }
    try {
      Signature signature = parse_signature(text);
      query.name = std::move(signature.name);
      query.parameters = std::move(signature.parameters);
      query.columns = std::move(signature.columns);
    } catch (const SignatureError& error) {
      throw SyntaxError{header_offset_, error.message};
    }
  }

  void parse_doc(QueryDefinition& query) {
    bool more = token_.kind == Kind::line_comment && !is_header(token_);
    while (more) {
      query.doc.emplace_back(comment_text(token_));
      more = next_comment_line();
    }
  }

  void parse_statement(QueryDefinition& query) {
    StatementWriter writer(query);
    while (token_.kind != Kind::semicolon) {
      if (token_.kind == Kind::end || is_header(token_)) {
        throw SyntaxError{header_offset_, writer.empty()
                                              ? query.name + " has no statement"
                                              : "the statement of " + query.name + " has no semicolon"};
      }
      writer.add(token_);
      advance();
    }
    if (writer.empty()) throw SyntaxError{header_offset_, query.name + " has no statement"};
    query.sql = writer.finish(header_offset_);
    advance();
  }

  std::string_view text_;
  SqlLexer lexer_;
  Token token_{};
  std::size_t header_offset_ = 0;
};

}  // namespace

std::string QueryDefinition::struct_name() const {
  std::string result;
  bool upper = true;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
    } else {
      result += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      upper = false;
    }
  }
  return result;
}

std::vector<QueryDefinition> parse_queries(std::string_view text) {
  if (const auto invalid = find_invalid_utf8(text)) throw SyntaxError{*invalid, "the text is not UTF-8"};
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw SyntaxError{nul, "the text has a NUL byte"};
  }
  return Parser(text).parse();
}

bool is_snake_case(std::string_view name) noexcept {
  if (name.empty() || name.front() < 'a' || name.front() > 'z' || name.back() == '_') return false;
  if (name.find("__") != std::string_view::npos) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

}  // namespace weir::sqlgen
