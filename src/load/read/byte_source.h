#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/unique_fd.h"
#include "exec/command.h"
#include "load/read/record_reader.h"

namespace weir::load {

/// What there is to be done while a source has nothing to give.
struct Idle {
  std::function<Deadline()> until;  ///< when it has to be done; asked before each wait
  std::function<void()> act;        ///< does it, within read(); what it throws read() throws
};

/// Bytes, one after the other, from wherever they come. Used by one thread.
class ByteSource {
 public:
  ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;

  /// Waits for bytes and answers how many it put into `room`, which is not empty. 0 is the end, reached
  /// cleanly: what broke off, failed or was stopped throws.
  virtual std::size_t read(std::span<char> room) = 0;
  /// For sources that may have nothing for long; others need not know it.
  virtual void set_idle(Idle /*idle*/) {}
  [[nodiscard]] virtual ReadProgress progress() const = 0;
};

/// One of the inputs of a load, opened when its turn comes.
struct Input {
  std::string name;                      ///< for messages and rejects
  std::optional<std::uint64_t> bytes{};  ///< as they are stored, where that is known
  /// What it holds, decompressed. A stop ends every wait of the source.
  std::function<std::unique_ptr<ByteSource>(const std::stop_token&)> open;
};

/// The file of that name; if there is none, the files that match it as a pattern, sorted by name. Throws when
/// there is neither.
std::vector<Input> file_inputs(const std::string& path_or_pattern);
Input standard_input();
/// A command's standard output. A command that fails is a source that did not end cleanly: the last read
/// throws, with the end of what it wrote to standard error.
Input command_input(exec::Command command);
Input memory_input(const std::string& name, std::string bytes);

std::unique_ptr<ByteSource> memory_source(std::string bytes);
/// A descriptor that is at hand.
std::unique_ptr<ByteSource> open_descriptor(UniqueFd fd, std::string name, std::stop_token stop);
std::unique_ptr<ByteSource> open_command(const exec::Command& command, std::stop_token stop);

/// gzip (all its members) and zstd (all its frames) are known by their first bytes; anything else comes as it
/// is. Data that break off throw, and so does a kind of compression that is not read here. `is_file`: a name
/// that ends in .gz or .zst promises something compressed; of a command (zcat a.gz) it says nothing.
std::unique_ptr<ByteSource> decompressed(std::unique_ptr<ByteSource> stored, std::string name,
                                         bool is_file = false);

/// To UTF-8 from any encoding that iconv knows. What cannot be converted becomes the byte 0xFF, which is no
/// UTF-8 either: so the value that holds it is refused, with its place.
std::unique_ptr<ByteSource> transcoded(std::unique_ptr<ByteSource> source, const std::string& encoding,
                                       const std::string& name);
[[nodiscard]] bool is_utf8_name(std::string_view encoding);

/// Up to `most` bytes of the beginning, fewer only at the end.
std::string read_head(ByteSource& source, std::size_t most);
/// `head`, then the rest of `source`.
std::unique_ptr<ByteSource> with_head(std::string head, std::unique_ptr<ByteSource> source);

}  // namespace weir::load
