#pragma once

#include <string>
#include <string_view>

namespace weir::load {

/// What the first bytes of a file say of its encoding.
struct EncodingGuess {
  std::string name = "utf-8";  ///< or utf-16le, utf-16be, windows-1252
  std::string doubt{};         ///< for people, why it may be another; empty where there is no doubt
};

/// `whole`: there are no more bytes.
///
/// Bytes that are not UTF-8 make it windows-1252 only where (nearly) nothing speaks for UTF-8 and each of
/// them is a character there. In doubt it is UTF-8: then records are rejected, which is noticed, and not
/// stored as characters that nobody wrote.
EncodingGuess guess_encoding(std::string_view head, bool whole);

}  // namespace weir::load
