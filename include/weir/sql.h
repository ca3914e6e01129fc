#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace weir {

/// A parameter of a statement. It travels as text, and the server takes its type from where it stands.
class Value {
 public:
  Value(std::nullptr_t /*null*/) noexcept {}
  Value(bool value) : text_(value ? "true" : "false") {}
  Value(std::string_view value) : text_(std::string(value)) {}
  Value(const std::string& value) : text_(value) {}
  Value(const char* value) : text_(value) {}
  template <class T>
    requires std::is_integral_v<T>
  Value(T value) : text_(std::to_string(value)) {}
  Value(double value);
  template <class T>
  Value(const std::optional<T>& value) {
    if (value) text_ = Value(*value).text_;
  }

  /// Nothing for NULL.
  [[nodiscard]] const std::optional<std::string>& text() const noexcept { return text_; }

 private:
  std::optional<std::string> text_;
};

/// What a statement answered. A value; any thread may read it. Each accessor throws an Error when the column
/// is of another kind, or is NULL: cast in SQL, as in total::text.
class Rows {
 public:
  struct Data;
  explicit Rows(std::shared_ptr<const Data> data) noexcept : data_(std::move(data)) {}

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  /// Rows that the statement inserted, changed or deleted.
  [[nodiscard]] std::int64_t affected() const noexcept;

  [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::int64_t integer(std::size_t row, std::size_t column) const;
  [[nodiscard]] double number(std::size_t row, std::size_t column) const;
  [[nodiscard]] bool boolean(std::size_t row, std::size_t column) const;
  /// Of text and its kin, and of json and jsonb.
  [[nodiscard]] std::string text(std::size_t row, std::size_t column) const;

 private:
  std::shared_ptr<const Data> data_;
};

/// Statements inside of a transaction that somebody else ends, such as that of a job. Used by one thread.
class Sql {
 public:
  struct State;
  explicit Sql(std::unique_ptr<State> state) noexcept;
  Sql(Sql&& other) noexcept;
  Sql& operator=(Sql&& other) noexcept;
  Sql(const Sql&) = delete;
  Sql& operator=(const Sql&) = delete;
  ~Sql();

  /// One statement, with parameters $1, $2, .. One that would end the transaction is refused.
  template <class... T>
  Rows execute(const std::string& sql, const T&... arguments) {
    const std::array<Value, sizeof...(T)> values{Value(arguments)...};
    return execute_with(sql, values);
  }
  Rows execute_with(const std::string& sql, std::span<const Value> arguments);

  /// For the library.
  [[nodiscard]] State& state() noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// A transaction of the caller's: rolled back at its end unless it was committed.
class Transaction : public Sql {
 public:
  using Sql::Sql;

  /// Throws Failure::in_doubt when the session goes before the answer came.
  void commit();
  void rollback();
};

}  // namespace weir
