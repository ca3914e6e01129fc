#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pipeline/define/keys.h"
#include "pipeline/define/reading.h"

namespace weir::pipeline {

/// A text and where it was written.
struct Said {
  std::string text;
  const yaml::Node* node = nullptr;
};

/// A mapping read by its table of keys. The constructor reports what the table does not allow; each getter
/// reports a value of the wrong form, and answers nothing where there is none to use. A getter for a key that
/// is not in the table, or has another shape there, throws std::logic_error: so table and reader cannot
/// differ.
class Fields {
 public:
  Fields(Reading& reading, const yaml::Node& node, const Object& object);

  /// The key of one_of that is there; empty when none is, or several are, which has been reported.
  [[nodiscard]] std::string_view kind() const noexcept { return kind_; }
  [[nodiscard]] const yaml::Node& node() const noexcept { return node_; }
  /// What is behind the key, whatever it is; null when nothing is.
  [[nodiscard]] const yaml::Node* value(std::string_view name) const;
  /// Where to point when something is wrong with the key: its value, or the mapping where it is missing.
  [[nodiscard]] const yaml::Node& place(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const { return value(name) != nullptr; }
  /// Whether it is in the table.
  [[nodiscard]] bool known(std::string_view name) const { return object_->find(name) != nullptr; }

  std::optional<Said> text(std::string_view name);
  std::optional<Duration> duration(std::string_view name);
  std::optional<std::int64_t> integer(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  /// The number of the word in its table, which is that of the enumerator.
  std::optional<std::size_t> word(std::string_view name);
  std::vector<Said> words(std::string_view name);
  std::vector<Said> texts(std::string_view name);
  /// Values as they stand.
  std::vector<const yaml::Node*> values(std::string_view name);
  std::optional<Fields> object(std::string_view name);
  std::vector<Fields> objects(std::string_view name);
  /// Of a map its names and values, whatever these are.
  std::vector<const yaml::Member*> members(std::string_view name);

 private:
  const Key& key(std::string_view name, Shape shape) const;
  void refuse_unknown(const yaml::Node& key);
  void find_kind();
  void check_beside();

  Reading* reading_;
  const yaml::Node& node_;
  const Object* object_;
  std::string_view kind_;
};

/// A value without a key of its own: an item of a list, a member of a map. Each reports what is wrong with
/// it.
std::optional<Said> read_text(Reading& reading, const yaml::Node& node, std::string_view what);
std::optional<std::int64_t> read_integer(Reading& reading, const yaml::Node& node, std::string_view what,
                                         std::int64_t least, std::int64_t most);
std::vector<std::string> texts_of(const std::vector<Said>& all);

}  // namespace weir::pipeline
