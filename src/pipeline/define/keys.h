#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace weir::pipeline {

struct Object;

/// How a value is written.
enum class Shape : std::uint8_t {
  text,
  duration,  ///< 30s
  integer,
  boolean,
  word,    ///< one of a few
  texts,   ///< a list of texts; one alone may stand without its brackets
  words,   ///< the same of words
  argv,    ///< a list of texts
  values,  ///< a list of anything
  scalar,  ///< a text, a number or a boolean
  object,
  objects,  ///< a list of them
  map,      ///< names of the user's own, each with a value like `each`
};

/// One key of the files of a project. These tables are all there is: the reader refuses what is not in them
/// and reads by them, and the JSON Schema for editors is made of them.
struct Key {
  constexpr Key(std::string_view key, Shape form, std::string_view description)
      : name(key), shape(form), help(description) {}

  std::string_view name;
  Shape shape;
  std::string_view help;
  std::optional<Shape> instead{};  ///< a shorter form
  const Object* object{};
  const Key* each{};
  std::span<const std::string_view> words{};
  std::int64_t least = 0;
  std::int64_t most = std::numeric_limits<int>::max();
  /// Only beside one of these keys, with blanks between them; empty: always.
  std::string_view beside{};
  bool required = false;

  // For tables: a key that differs in one thing.
  [[nodiscard]] constexpr Key or_as(Shape shorter) const {
    Key changed = *this;
    changed.instead = shorter;
    return changed;
  }
  [[nodiscard]] constexpr Key has(const Object& inner) const {
    Key changed = *this;
    changed.object = &inner;
    return changed;
  }
  [[nodiscard]] constexpr Key of_each(const Key& member) const {
    Key changed = *this;
    changed.each = &member;
    return changed;
  }
  [[nodiscard]] constexpr Key one_of(std::span<const std::string_view> known) const {
    Key changed = *this;
    changed.words = known;
    return changed;
  }
  [[nodiscard]] constexpr Key from_to(std::int64_t low, std::int64_t high) const {
    Key changed = *this;
    changed.least = low;
    changed.most = high;
    return changed;
  }
  [[nodiscard]] constexpr Key only_beside(std::string_view keys) const {
    Key changed = *this;
    changed.beside = keys;
    return changed;
  }
  [[nodiscard]] constexpr Key must() const {
    Key changed = *this;
    changed.required = true;
    return changed;
  }
};

struct Object {
  std::string_view what;  ///< "a task"
  std::span<const Key> keys;
  /// Of these exactly one (or, with `may_lack`, at most one) must be there.
  std::span<const std::string_view> one_of{};
  bool may_lack = false;

  [[nodiscard]] const Key* find(std::string_view name) const noexcept;
};

/// "sql run" > sql, run
std::vector<std::string_view> words_between_blanks(std::string_view words);

// Words in the order of the enumerators that they stand for.
std::span<const std::string_view> trigger_rule_words() noexcept;
std::span<const std::string_view> gap_words() noexcept;
std::span<const std::string_view> overlap_words() noexcept;
std::span<const std::string_view> missed_words() noexcept;
std::span<const std::string_view> parameter_type_words() noexcept;
std::span<const std::string_view> materialized_words() noexcept;

/// weir.yml, pipeline.yml, the comment on top of a model.
const Object& project_object() noexcept;
const Object& pipeline_object() noexcept;
const Object& model_object() noexcept;
/// Without the key `name`.
const Object& parameter_object() noexcept;
const Object& task_object() noexcept;

}  // namespace weir::pipeline
