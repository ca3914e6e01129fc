#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/error.h"
#include "base/text.h"
#include "load/read/byte_source.h"

namespace weir::load {
namespace {

constexpr std::size_t kChunk = 128 * 1024;
constexpr std::size_t kMagic = 10;  // the longest that is looked for
/// The decoder holds that much: what `zstd -19` and less write needs 8 MiB, `--ultra -20` the 32 of this.
constexpr int kMaxZstdWindowLog = 25;

/// The stored bytes, a chunk at a time.
class Feed {
 public:
  Feed(std::unique_ptr<ByteSource> stored, std::string name)
      : stored_(std::move(stored)), name_(std::move(name)), chunk_(kChunk) {}

  /// What is left of the chunk, or the next one; empty at the end.
  std::span<char> bytes() {
    if (at_ == size_) {
      at_ = 0;
      size_ = stored_->read(chunk_);
    }
    return std::span(chunk_).subspan(at_, size_ - at_);
  }
  void used(std::size_t count) noexcept { at_ += count; }

  [[nodiscard]] ReadProgress progress() const { return stored_->progress(); }
  void set_idle(Idle idle) { stored_->set_idle(std::move(idle)); }
  [[noreturn]] void broken_off(std::string_view kind) const {
    throw Error(ExitCode::failed,
                fmt::format("{} breaks off after {} bytes: its {} data have no end", printable(name_),
                            progress().bytes, kind),
                "It was probably not written or copied to its end. Fetch it again.");
  }
  [[noreturn]] void broken(std::string_view kind, std::string_view why) const {
    throw Error(ExitCode::failed, fmt::format("{} is damaged near byte {}: its {} data are bad: {}",
                                              printable(name_), progress().bytes, kind, why));
  }

 private:
  std::unique_ptr<ByteSource> stored_;
  std::string name_;
  std::vector<char> chunk_;
  std::size_t at_ = 0;
  std::size_t size_ = 0;
};

class GzipSource final : public ByteSource {
 public:
  GzipSource(std::unique_ptr<ByteSource> stored, std::string name)
      : feed_(std::move(stored), std::move(name)) {
    constexpr int kGzipOnly = 16;
    if (::inflateInit2(&zlib_, MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;
  ~GzipSource() override { ::inflateEnd(&zlib_); }

  std::size_t read(std::span<char> room) override {
    zlib_.next_out = reinterpret_cast<Bytef*>(room.data());
    zlib_.avail_out = static_cast<uInt>(std::min<std::size_t>(room.size(), 1U << 30U));
    const auto most = zlib_.avail_out;
    while (zlib_.avail_out == most) {
      const std::span<char> bytes = feed_.bytes();
      if (bytes.empty()) {
        if (inside_) feed_.broken_off("gzip");
        return 0;
      }
      if (!inside_) {
        // Zeros fill the last block of a tape or of dd; gzip passes over them as well.
        if (ended_one_ && bytes[0] == '\0') {
          feed_.used(1);
          continue;
        }
        ::inflateReset(&zlib_);
        inside_ = true;
      }
      zlib_.next_in = reinterpret_cast<Bytef*>(bytes.data());
      zlib_.avail_in = static_cast<uInt>(bytes.size());
      const int result = ::inflate(&zlib_, Z_NO_FLUSH);
      feed_.used(bytes.size() - zlib_.avail_in);
      if (result == Z_STREAM_END) {
        inside_ = false;
        ended_one_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        feed_.broken("gzip", zlib_.msg == nullptr ? "unknown" : zlib_.msg);
      }
    }
    return most - zlib_.avail_out;
  }

  [[nodiscard]] ReadProgress progress() const override { return feed_.progress(); }
  void set_idle(Idle idle) override { feed_.set_idle(std::move(idle)); }

 private:
  Feed feed_;
  z_stream zlib_{};
  bool inside_ = true;
  bool ended_one_ = false;
};

class ZstdSource final : public ByteSource {
 public:
  ZstdSource(std::unique_ptr<ByteSource> stored, std::string name)
      : feed_(std::move(stored), std::move(name)), decoder_(::ZSTD_createDCtx()) {
    if (decoder_ == nullptr) throw std::bad_alloc();
    ::ZSTD_DCtx_setParameter(decoder_.get(), ZSTD_d_windowLogMax, kMaxZstdWindowLog);
  }

  std::size_t read(std::span<char> room) override {
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    while (out.pos == 0) {
      const std::span<char> bytes = feed_.bytes();
      ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
      // Also without new bytes: the decoder may hold what the last room was too small for.
      if (!bytes.empty() || inside_) {
        const std::size_t result = ::ZSTD_decompressStream(decoder_.get(), &out, &in);
        if (::ZSTD_isError(result) != 0) fail(result);
        feed_.used(in.pos);
        inside_ = result != 0;
      }
      if (bytes.empty() && out.pos == 0) {
        if (inside_) feed_.broken_off("zstd");
        return 0;
      }
    }
    return out.pos;
  }

  [[nodiscard]] ReadProgress progress() const override { return feed_.progress(); }
  void set_idle(Idle idle) override { feed_.set_idle(std::move(idle)); }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* decoder) const noexcept { ::ZSTD_freeDCtx(decoder); }
  };

  [[noreturn]] void fail(std::size_t result) const {
    if (::ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge) {
      throw Error(ExitCode::failed, "the zstd data need more than 32 MiB of memory to be read",
                  "Have zstd do it: zstd -dc --long=31 FILE | weir load - ..");
    }
    feed_.broken("zstd", ::ZSTD_getErrorName(result));
  }

  Feed feed_;
  std::unique_ptr<ZSTD_DCtx, Free> decoder_;
  bool inside_ = false;
};

struct Refused {
  std::size_t at;
  std::string_view magic;
  std::string_view kind;
  std::string_view remedy;
};

constexpr std::array<Refused, 5> kRefused{{
    {0, {"\xFD\x37zXZ\0", 6}, "xz", "xz -dc FILE | weir load - .."},
    {4, "1AY&SY", "bzip2", "bzip2 -dc FILE | weir load - .."},
    {0, "\x04\x22\x4D\x18", "lz4", "lz4 -dc FILE | weir load - .."},
    {0, "PK\x03\x04", "zip (or a spreadsheet)",
     "unzip -p FILE | weir load - .., or save the spreadsheet as CSV."},
    {0, "\xD0\xCF\x11\xE0", "an old spreadsheet's", "Save the spreadsheet as CSV."},
}};

bool is_zstd(std::string_view head) {
  if (head.starts_with("\x28\xB5\x2F\xFD")) return true;
  // A frame to be skipped, with which pzstd begins.
  return head.size() >= 4 && (static_cast<unsigned char>(head[0]) & 0xF0U) == 0x50 &&
         head.substr(1, 3) == "\x2A\x4D\x18";
}

/// What the name of a file says of it; nothing where that is no compression that is read here.
std::string_view packed_by_name(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kPackedEndings{
      {{".gz", "gzip"}, {".zst", "zstd"}, {".zstd", "zstd"}}};
  for (const auto& [ending, kind] : kPackedEndings) {
    if (name.size() < ending.size()) continue;
    const std::string_view last = name.substr(name.size() - ending.size());
    if (std::equal(last.begin(), last.end(), ending.begin(), [](char given, char lower) {
          return (given >= 'A' && given <= 'Z' ? static_cast<char>(given - 'A' + 'a') : given) == lower;
        }))
      return kind;
  }
  return {};
}

/// An error page, or what a broken export has left, would be taken for the rows.
[[noreturn]] void refuse_unpacked(const std::string& name, std::string_view kind, std::string_view head) {
  constexpr std::size_t kShown = 4;
  std::string bytes;
  for (const char c : head.substr(0, kShown))
    bytes += fmt::format(" {:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  throw Error(ExitCode::usage,
              fmt::format("{} is no {} file: {}", printable(name), kind,
                          bytes.empty() ? "it is empty" : "its first bytes are" + bytes),
              "If that is right, give it another name, or let it come without one: weir load - < FILE");
}

}  // namespace

std::unique_ptr<ByteSource> decompressed(std::unique_ptr<ByteSource> stored, std::string name, bool is_file) {
  const std::string head = read_head(*stored, kMagic);
  for (const Refused& refused : kRefused) {
    if (head.size() < refused.at || !std::string_view(head).substr(refused.at).starts_with(refused.magic))
      continue;
    throw Error(ExitCode::usage,
                fmt::format("{} holds {} data, which are not read here", printable(name), refused.kind),
                std::string(refused.remedy));
  }
  std::unique_ptr<ByteSource> whole = with_head(head, std::move(stored));
  if (head.starts_with("\x1F\x8B")) return std::make_unique<GzipSource>(std::move(whole), std::move(name));
  if (is_zstd(head)) return std::make_unique<ZstdSource>(std::move(whole), std::move(name));
  if (const std::string_view kind = packed_by_name(name); is_file && !kind.empty())
    refuse_unpacked(name, kind, head);
  return whole;
}

}  // namespace weir::load
