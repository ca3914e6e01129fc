#include "pipeline/define/yaml/parse.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "base/text.h"
#include "pipeline/define/yaml/places.h"
#include "pipeline/define/yaml/syntax.h"

namespace weir::pipeline::yaml {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Ends the parser from within one of its events.
struct Stop {
  Fault fault;
};

struct Cost {
  std::size_t nodes = 1;
  std::size_t text = 0;
};

Cost cost_of(const Node& node) noexcept {
  Cost sum{1, node.text.size()};
  const auto add = [&](const Node& child) {
    const Cost cost = cost_of(child);
    sum.nodes += cost.nodes;
    sum.text += cost.text;
  };
  for (const Node& item : node.items) add(item);
  for (const Member& member : node.members) {
    add(member.key);
    add(member.value);
  }
  return sum;
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view source, const Limits& limits)
      : source_(source), limits_(limits), places_(source) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (!result_.root) return;
    const Node node = make(mark, Node::Kind::null);
    const bool said = source_.substr(node.offset).starts_with("---");
    throw Stop{{node.place, said ? "a second document in one file" : "this belongs to nothing above it",
                said ? "Put it into a file of its own." : "Check its indentation."}};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    put(make(mark, Node::Kind::null), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Node here = make(mark, Node::Kind::null);
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      throw Stop{
          {here.place, "an alias within what it stands for", "Write it out, as far as it is meant to go."}};
    }
    spend(found->second.cost, here.place);
    put(Node(found->second.node), YAML::NullAnchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = make(mark, Node::Kind::scalar);
    node.quoted = tag == "!";
    if (node.quoted && is_unclosed_quote(source_, node.offset)) {
      throw Stop{
          {node.place, "the text in quotes never ends", "Close it with the quote that it begins with."}};
    }
    refuse_tag(tag, node.place);
    node.text = value;
    spend({1, value.size()}, node.place);
    put(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(make(mark, Node::Kind::sequence), tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(make(mark, Node::Kind::mapping), tag, anchor);
  }
  void OnMapEnd() override { close(); }

  void report(Fault fault) {
    if (result_.faults.size() < limits_.faults) result_.faults.push_back(std::move(fault));
  }
  Parsed take() { return std::move(result_); }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor;
    std::optional<Node> key{};
    std::map<std::string, int, std::less<>> lines{};  // of the keys so far
  };
  struct Anchored {
    Node node;
    Cost cost;
  };

  Node make(const YAML::Mark& mark, Node::Kind kind) {
    const std::size_t offset =
        mark.pos < 0 ? 0 : std::min(static_cast<std::size_t>(mark.pos), source_.size());
    return {.kind = kind, .place = places_.at(offset), .offset = offset};
  }

  void spend(Cost cost, Place place) {
    spent_.nodes += cost.nodes;
    spent_.text += cost.text;
    if (spent_.nodes <= limits_.nodes && spent_.text <= limits_.text) return;
    throw Stop{{place,
                fmt::format("more than {} values, or {} of text, aliases written out",
                            human_count(static_cast<std::int64_t>(limits_.nodes)), human_bytes(limits_.text)),
                "Divide it into several pipelines."}};
  }

  void refuse_tag(const std::string& tag, Place place) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    report({place, "a tag has no meaning here",
            "Take it out; a text that looks like a number goes into quotes."});
  }

  void open(Node node, const std::string& tag, YAML::anchor_t anchor) {
    refuse_tag(tag, node.place);
    spend({1, 0}, node.place);
    if (open_.size() >= limits_.depth) {
      throw Stop{{node.place, fmt::format("nested deeper than {} levels", limits_.depth), {}}};
    }
    open_.push_back({std::move(node), anchor});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    put(std::move(done.node), done.anchor);
  }

  void put(Node node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_.insert_or_assign(anchor, Anchored{node, cost_of(node)});
    if (open_.empty()) {
      result_.root = std::move(node);
      return;
    }
    Open& in = open_.back();
    if (in.node.is_sequence()) {
      in.node.items.push_back(std::move(node));
    } else if (!in.key) {
      in.key = std::move(node);
      if (in.node.is_mapping() && in.key->is_null()) read_null_key(*in.key);
    } else {
      Node key = std::move(*in.key);
      in.key.reset();
      // What is not there has no place; its key has.
      if (node.is_null()) {
        node.place = key.place;
        node.offset = key.offset;
      }
      if (accept_key(in, key)) in.node.members.push_back({std::move(key), std::move(node)});
    }
  }

  /// As a key the word null is a word like any other.
  void read_null_key(Node& key) const {
    const std::string_view here = source_.substr(key.offset);
    for (const std::string_view word : {"null", "Null", "NULL"}) {
      if (!here.starts_with(word)) continue;
      key.kind = Node::Kind::scalar;
      key.text = word;
    }
  }

  bool accept_key(Open& in, const Node& key) {
    if (!key.is_scalar()) {
      report({key.place, fmt::format("a key must be a text, not {}", describe(key)), "Put it in quotes."});
      return false;
    }
    if (key.text == "<<" && !key.quoted) {
      report({key.place, "YAML 1.2 has no merge key '<<'", "What many tasks share goes into 'defaults'."});
      return false;
    }
    const auto [first, is_new] = in.lines.emplace(key.text, key.place.line);
    if (is_new) return true;
    report({key.place, fmt::format("'{}' is here for the second time", printable(elide(key.text, 60))),
            fmt::format("The first one is in line {}.", first->second)});
    return false;
  }

  std::string_view source_;
  const Limits& limits_;
  Places places_;
  Parsed result_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  Cost spent_{0, 0};
};

}  // namespace

const Member* Node::find(std::string_view key) const noexcept {
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const Member& member) { return member.key.text == key; });
  return found == members.end() ? nullptr : &*found;
}

std::string_view describe(const Node& node) noexcept {
  switch (node.kind) {
    case Node::Kind::null: return "nothing";
    case Node::Kind::scalar: return "a text";
    case Node::Kind::sequence: return "a list";
    case Node::Kind::mapping: return "a mapping";
  }
  return "";
}

Parsed parse(std::string_view source, const Limits& limits) {
  if (auto fault = check_text(source, limits)) return {.faults = {std::move(*fault)}};
  // yaml-cpp leaves it out of its count.
  std::size_t skipped = 0;
  if (source.starts_with(kByteOrderMark)) skipped = kByteOrderMark.size();
  const std::string_view text = source.substr(skipped);
  std::istringstream stream{std::string(text)};
  Builder builder(text, limits);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop& stop) {
    builder.report(stop.fault);
    Parsed result = builder.take();
    result.root.reset();
    return result;
  } catch (const YAML::Exception& error) {
    builder.report(
        explain(text, error.mark.pos < 0 ? 0 : static_cast<std::size_t>(error.mark.pos), error.msg));
    Parsed result = builder.take();
    result.root.reset();
    return result;
  }
  return builder.take();
}

Place place_of(std::string_view source, std::size_t offset) noexcept {
  if (source.starts_with(kByteOrderMark)) {
    source.remove_prefix(kByteOrderMark.size());
    offset -= std::min(offset, kByteOrderMark.size());
  }
  return Places(source).at(offset);
}

Place place_within(std::string_view source, const Node& node, std::string_view part,
                   std::size_t nth) noexcept {
  if (source.starts_with(kByteOrderMark)) source.remove_prefix(kByteOrderMark.size());
  std::size_t at = node.offset;
  for (std::size_t count = 0; count <= nth; ++count) {
    at = source.find(part, count == 0 ? at : at + 1);
    if (at == std::string_view::npos || part.empty()) return node.place;
  }
  return Places(source, node.offset, node.place).at(at);
}

}  // namespace weir::pipeline::yaml
