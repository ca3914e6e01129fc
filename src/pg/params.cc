#include "pg/params.h"

#include "pg/error.h"

namespace weir::pg {

Params& Params::add_null(Oid type) {
  push(type, nullptr, 0);
  offsets_.push_back(kNotOwned);
  return *this;
}

Params& Params::add_view(Oid type, std::string_view bytes) {
  // A null pointer is SQL's NULL to libpq, which an empty view must not become.
  push(type, bytes.data() == nullptr ? "" : bytes.data(), bytes.size());
  offsets_.push_back(kNotOwned);
  return *this;
}

Params& Params::add_owned(Oid type, std::size_t begin) {
  push(type, nullptr, arena_.size() - begin);
  offsets_.push_back(begin);
  return *this;
}

Params& Params::add_untyped(std::string_view text) {
  // libpq takes a text value up to its zero byte, and would silently send the half before it.
  if (text.find('\0') != std::string_view::npos) {
    raise({.kind = ErrorKind::misuse,
           .message = "parameter $" + std::to_string(types_.size() + 1) +
                      " has a zero byte in it, which PostgreSQL's text cannot hold"});
  }
  const std::size_t begin = arena_.size();
  arena_.append(text).push_back('\0');
  add_owned(oid::kInferred, begin);
  formats_.back() = 0;
  return *this;
}

void Params::push(Oid type, const char* value, std::size_t length) {
  if (length > detail::kMostBytes)
    detail::check_length(length, "parameter $" + std::to_string(types_.size() + 1));
  types_.push_back(type);
  values_.push_back(value);
  lengths_.push_back(static_cast<int>(length));
  formats_.push_back(1);
}

void Params::clear() noexcept {
  arena_.clear();
  offsets_.clear();
  types_.clear();
  values_.clear();
  lengths_.clear();
  formats_.clear();
}

Params::View Params::view() {
  // Only now: the arena moves while it grows.
  for (std::size_t i = 0; i < offsets_.size(); ++i) {
    if (offsets_[i] != kNotOwned) values_[i] = arena_.data() + offsets_[i];
  }
  return {static_cast<int>(types_.size()), types_.data(), values_.data(), lengths_.data(), formats_.data()};
}

}  // namespace weir::pg
