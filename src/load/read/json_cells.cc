#include "load/read/json_cells.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/error.h"
#include "base/text.h"
#include "load/read/json_frames.h"

namespace weir::load {
namespace {

namespace ondemand = simdjson::ondemand;

static_assert(kJsonPadding >= simdjson::SIMDJSON_PADDING);

constexpr std::size_t kNoColumn = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kUnknownKept = 20;
/// A parser that has seen a larger text gives its memory back: it is several times that of the text.
constexpr std::size_t kParserKept = std::size_t{1024} * 1024;
constexpr std::string_view kSeparator = "__";

}  // namespace

class JsonCells::Parser {
 public:
  explicit Parser(Options options) : options_(options), parser_(std::make_unique<ondemand::parser>()) {}

  std::size_t declare(const std::vector<std::string>& path, const std::string& name) {
    Node* node = &root_;
    for (const std::string& key : path) node = &child(*node, key);
    node->column = column(name);
    return node->column;
  }

  void keep_json(std::size_t column) {
    if (column >= json_.size()) json_.resize(column + 1, false);
    json_[column] = true;
  }

  std::optional<JsonBreak> read(std::string_view text) {
    for (const std::size_t touched : touched_) cells_[touched] = Cell{.kind = Cell::Kind::absent};
    touched_.clear();
    ++object_;
    checked_ = false;
    text_ = text;
    fault_.reset();
    if (parser_->capacity() > kParserKept && text.size() <= kParserKept) {
      parser_ = std::make_unique<ondemand::parser>();
    }
    const simdjson::error_code error = parse();
    if (fault_) return fault_;
    if (error == simdjson::SUCCESS) return std::nullopt;
    // simdjson says that something is wrong; what it is, and where, the patient reader finds.
    if (std::optional<JsonBreak> fault = find_json_break(text)) return fault;
    if (!text.empty() && trim_json(text).front() != '{') return not_an_object();
    return JsonBreak{0, simdjson::error_message(error)};
  }

  Options options_;
  std::vector<std::string> columns_;
  std::vector<Cell> cells_;
  std::vector<std::string> unknown_;

 private:
  /// A key at its place in the object, as far as keys were met or declared.
  struct Node {
    std::string name;         // the key alone
    std::string column_name;  // with the keys that lead to it
    bool plain = false;       // as written is as meant, and short: comparing bytes is enough
    std::size_t place = 0;    // among its siblings
    std::size_t column = kNoColumn;
    std::uint64_t seen_in = 0;  // the object that had it last
    std::vector<std::unique_ptr<Node>> children;
    std::unordered_map<std::string_view, Node*> by_name;
  };

  simdjson::error_code parse() {
    ondemand::document document;
    ondemand::object object;
    if (const auto error =
            parser_->iterate(text_.data(), text_.size(), text_.size() + kJsonPadding).get(document)) {
      return error;
    }
    if (const auto error = document.get_object().get(object)) return error;
    if (const auto error = read_object(object, root_, 0)) return error;
    // Reading on demand ends with the object and does not look behind it.
    return document.current_location().error() == simdjson::OUT_OF_BOUNDS ? simdjson::SUCCESS
                                                                          : simdjson::TAPE_ERROR;
  }

  simdjson::error_code read_object(ondemand::object& object, Node& node, std::size_t level) {
    std::size_t expected = 0;  // keys mostly come in the order in which they came before
    for (auto field_or : object) {
      ondemand::field field;
      if (const auto error = std::move(field_or).get(field)) return error;
      Node* at = nullptr;
      if (expected < node.children.size()) {
        Node& guess = *node.children[expected];
        if (guess.plain && field.key().unsafe_is_equal(guess.name)) at = &guess;
      }
      if (at == nullptr) {
        std::string_view key;
        if (const auto error = field.unescaped_key().get(key)) return error;
        at = find(node, key);
        if (fault_) return simdjson::TAPE_ERROR;
      }
      if (at == nullptr) continue;
      expected = at->place + 1;
      ondemand::value value = field.value();
      if (const auto error = read_value(value, *at, level)) return error;
    }
    return simdjson::SUCCESS;
  }

  simdjson::error_code read_value(ondemand::value& value, Node& node, std::size_t level) {
    const std::string_view token = trim_json(value.raw_json_token());
    if (token.empty()) return simdjson::TAPE_ERROR;
    const bool again = node.seen_in == object_;
    node.seen_in = object_;
    // Of a key that comes twice the last one counts, also where the first was an object.
    if (again) clear(node);
    if (token.front() == '{') {
      ondemand::object object;
      if (const auto error = value.get_object().get(object)) return error;
      if (opens(node, level)) return read_object(object, node, level + 1);
      std::string_view text;
      if (const auto error = object.raw_json().get(text)) return error;
      return whole(node, trim_json(text));
    }
    if (token.front() == '[') {
      ondemand::array array;
      if (const auto error = value.get_array().get(array)) return error;
      std::string_view text;
      if (const auto error = array.raw_json().get(text)) return error;
      return whole(node, trim_json(text));
    }
    return scalar(value, token, node);
  }

  [[nodiscard]] bool opens(const Node& node, std::size_t level) const noexcept {
    return options_.grow ? level < options_.flatten : !node.children.empty();
  }

  simdjson::error_code scalar(ondemand::value& value, std::string_view token, Node& node) {
    if (token == "null") {
      // Of an object that is known by its parts these are null.
      if (node.column == kNoColumn && !node.children.empty()) {
        set_null(node);
        return simdjson::SUCCESS;
      }
      return set(node, {.kind = Cell::Kind::null});
    }
    if (node.column != kNoColumn && is_json(node.column)) return whole(node, token);
    if (token.front() == '"') {
      std::string_view text;
      if (token.size() >= 2 && token.back() == '"' && token.find('\\') == std::string_view::npos) {
        text = token.substr(1, token.size() - 2);
      } else if (const auto error = value.get_string().get(text)) {
        return error;
      }
      return set(node, {.kind = Cell::Kind::text, .text = text});
    }
    if (token == "true" || token == "false") return set(node, {.kind = Cell::Kind::boolean, .text = token});
    if (!is_json_number(token)) return simdjson::NUMBER_ERROR;
    return set(node, {.kind = Cell::Kind::number, .text = token});
  }

  /// As it is written. On-demand reading only counted its brackets.
  simdjson::error_code whole(Node& node, std::string_view text) {
    if (find_json_break(text)) return simdjson::TAPE_ERROR;
    return set(node, {.kind = Cell::Kind::json, .text = text});
  }

  simdjson::error_code set(Node& node, Cell cell) {
    if (node.column == kNoColumn) {
      if (!options_.grow) {
        fault_ = JsonBreak{
            0, fmt::format("'{}' is no object, which its schema says it is", printable(node.column_name))};
        return simdjson::INCORRECT_TYPE;
      }
      if (!may_grow()) return simdjson::TAPE_ERROR;
      node.column = column(node.column_name);
    }
    if (cells_[node.column].kind == Cell::Kind::absent) touched_.push_back(node.column);
    cells_[node.column] = cell;
    return simdjson::SUCCESS;
  }

  void clear(Node& node) {
    if (node.column != kNoColumn) cells_[node.column] = Cell{.kind = Cell::Kind::absent};
    for (const auto& inner : node.children) clear(*inner);
  }

  void set_null(Node& node) {
    if (node.column != kNoColumn) set(node, {.kind = Cell::Kind::null});
    for (const auto& inner : node.children) set_null(*inner);
  }

  /// A broken object must leave no columns behind, so the first key that is new has all of it checked.
  bool may_grow() {
    if (checked_) return true;
    checked_ = true;
    fault_ = find_json_break(text_);
    return !fault_;
  }

  Node* find(Node& node, std::string_view key) {
    if (const auto found = node.by_name.find(key); found != node.by_name.end()) return found->second;
    if (options_.grow) {
      // Also an object without a leaf costs memory.
      if (++keys_ > 2 * options_.max_columns) too_many();
      return may_grow() ? &child(node, std::string(key)) : nullptr;
    }
    if (unknown_.size() < kUnknownKept) {
      std::string name = node.column_name.empty()
                             ? std::string(key)
                             : node.column_name + std::string(kSeparator) + std::string(key);
      if (std::find(unknown_.begin(), unknown_.end(), name) == unknown_.end())
        unknown_.push_back(std::move(name));
    }
    return nullptr;
  }

  static Node& child(Node& node, const std::string& key) {
    if (const auto found = node.by_name.find(key); found != node.by_name.end()) return *found->second;
    auto made = std::make_unique<Node>();
    made->name = key;
    made->column_name = node.column_name.empty() ? key : node.column_name + std::string(kSeparator) + key;
    made->place = node.children.size();
    made->plain = key.size() < kJsonPadding && key.find_first_of("\"\\") == std::string::npos;
    Node& kept = *node.children.emplace_back(std::move(made));
    node.by_name.emplace(kept.name, &kept);
    return kept;
  }

  std::size_t column(const std::string& name) {
    const auto [at, is_new] = column_by_name_.try_emplace(name, columns_.size());
    if (!is_new) return at->second;
    if (columns_.size() >= options_.max_columns) {
      column_by_name_.erase(at);
      too_many();
    }
    columns_.push_back(name);
    cells_.push_back(Cell{.kind = Cell::Kind::absent});
    return columns_.size() - 1;
  }

  [[noreturn]] void too_many() const {
    throw Error(ExitCode::definition,
                fmt::format("the records have more than {} different keys", options_.max_columns),
                "Are the keys values, such as ids? Then load the object that has them as one jsonb column.");
  }

  [[nodiscard]] bool is_json(std::size_t column) const noexcept {
    return column < json_.size() && json_[column];
  }

  [[nodiscard]] JsonBreak not_an_object() const {
    const std::string_view text = trim_json(text_);
    const auto at = static_cast<std::size_t>(text.data() - text_.data());
    return {at, fmt::format("a record is a JSON object, and this is {}",
                            text.front() == '[' ? "an array" : "a single value")};
  }

  std::unique_ptr<ondemand::parser> parser_;
  Node root_;
  std::unordered_map<std::string, std::size_t> column_by_name_;
  std::vector<bool> json_;
  std::vector<std::size_t> touched_;
  std::uint64_t object_ = 0;
  std::size_t keys_ = 0;
  bool checked_ = false;
  std::string_view text_;
  std::optional<JsonBreak> fault_;
};

JsonCells::JsonCells(Options options) : parser_(std::make_unique<Parser>(options)) {}
JsonCells::~JsonCells() = default;

std::size_t JsonCells::declare(const std::vector<std::string>& path, const std::string& name) {
  return parser_->declare(path, name);
}
void JsonCells::keep_json(std::size_t column) { parser_->keep_json(column); }
const std::vector<std::string>& JsonCells::columns() const noexcept { return parser_->columns_; }
std::optional<JsonBreak> JsonCells::read(std::string_view text) { return parser_->read(text); }
std::span<const Cell> JsonCells::cells() const noexcept { return parser_->cells_; }
const std::vector<std::string>& JsonCells::unknown_keys() const noexcept { return parser_->unknown_; }

}  // namespace weir::load
