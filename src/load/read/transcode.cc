#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <iconv.h>

#include "base/error.h"
#include "base/text.h"
#include "load/read/byte_source.h"

namespace weir::load {
namespace {

constexpr std::size_t kChunk = 64 * 1024;
constexpr char kNoCharacter = '\xFF';

/// In small letters, without what joins its parts.
std::string plain_name(std::string_view encoding) {
  std::string name;
  for (const char c : encoding) {
    if (c != '-' && c != '_') name.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
  }
  return name;
}

/// Bytes to pass over where there is no character: the next one has to be read from its beginning.
std::size_t unit_of(const std::string& encoding) {
  const std::string name = plain_name(encoding);
  if (name.starts_with("utf16") || name.starts_with("ucs2")) return 2;
  return name.starts_with("utf32") || name.starts_with("ucs4") ? 4 : 1;
}

class Transcoder final : public ByteSource {
 public:
  Transcoder(std::unique_ptr<ByteSource> source, const std::string& encoding, const std::string& name)
      : source_(std::move(source)),
        iconv_(::iconv_open("UTF-8", encoding.c_str())),
        unit_(unit_of(encoding)),
        in_(kChunk, '\0') {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how iconv says it
    if (iconv_ == reinterpret_cast<iconv_t>(-1)) {
      throw Error(ExitCode::usage,
                  fmt::format("{}: no conversion from the encoding '{}' is known here", printable(name),
                              printable(encoding)),
                  "`iconv --list` prints those that are.");
    }
  }
  Transcoder(const Transcoder&) = delete;
  Transcoder& operator=(const Transcoder&) = delete;
  ~Transcoder() override { ::iconv_close(iconv_); }

  std::size_t read(std::span<char> room) override {
    // A caller's room may be smaller than a character.
    while (out_at_ == out_size_) {
      if (!convert()) return 0;
    }
    const std::size_t count = std::min(room.size(), out_size_ - out_at_);
    std::memcpy(room.data(), out_.data() + out_at_, count);
    out_at_ += count;
    return count;
  }

  [[nodiscard]] ReadProgress progress() const override { return source_->progress(); }

 private:
  /// A piece more of the output; false at the end.
  bool convert() {
    char* to = out_.data();
    std::size_t room = out_.size() - 1;  // the last one for kNoCharacter
    if (!refill()) {
      if (in_size_ == 0) return false;
      // The end came in the middle of a character.
      in_size_ = 0;
      *to++ = kNoCharacter;
    } else {
      char* from = in_.data() + in_at_;
      std::size_t left = in_size_ - in_at_;
      const bool failed = ::iconv(iconv_, &from, &left, &to, &room) == static_cast<std::size_t>(-1);
      if (failed && errno == EILSEQ) {
        *to++ = kNoCharacter;
        const std::size_t skipped = std::min(left, unit_);
        from += skipped;
        left -= skipped;
      } else if (failed && errno == EINVAL) {
        incomplete_ = true;
      }
      in_at_ = in_size_ - left;
    }
    out_at_ = 0;
    out_size_ = static_cast<std::size_t>(to - out_.data());
    return true;
  }

  /// False when the source has no more and what is left is no whole character.
  bool refill() {
    if (in_at_ < in_size_ && !incomplete_) return true;
    incomplete_ = false;
    std::memmove(in_.data(), in_.data() + in_at_, in_size_ - in_at_);
    in_size_ -= in_at_;
    in_at_ = 0;
    const std::size_t got = source_->read(std::span(in_).subspan(in_size_));
    in_size_ += got;
    return got != 0;
  }

  std::unique_ptr<ByteSource> source_;
  iconv_t iconv_;
  std::size_t unit_;
  std::string in_;
  std::size_t in_at_ = 0;
  std::size_t in_size_ = 0;
  bool incomplete_ = false;
  std::array<char, kChunk> out_{};
  std::size_t out_at_ = 0;
  std::size_t out_size_ = 0;
};

}  // namespace

bool is_utf8_name(std::string_view encoding) {
  const std::string name = plain_name(encoding);
  return name == "utf8" || name == "utf8bom" || name == "ascii" || name == "usascii";
}

std::unique_ptr<ByteSource> transcoded(std::unique_ptr<ByteSource> source, const std::string& encoding,
                                       const std::string& name) {
  if (is_utf8_name(encoding)) return source;
  return std::make_unique<Transcoder>(std::move(source), encoding, name);
}

}  // namespace weir::load
