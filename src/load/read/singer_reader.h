#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "load/read/byte_source.h"
#include "load/read/json_cells.h"
#include "load/read/json_frames.h"
#include "load/read/singer_flow.h"
#include "load/read/singer_message.h"
#include "load/value/cell.h"

namespace weir::load {

struct SingerOptions {
  SingerSchemaOptions schema{};
  std::size_t max_message_bytes = std::size_t{4} * 1024 * 1024;
  std::string name = "the tap's output";  ///< for messages
  /// The version that the target of each stream has; see SingerFlow.
  std::map<std::string, std::int64_t> active_versions{};
  /// Opens a file of a BATCH message and decompresses it. Without it BATCH is refused.
  std::function<std::unique_ptr<ByteSource>(const std::string& path)> open_file{};
};

/// What a tap makes happen, in order. Views live until the next one.
struct SingerEvent {
  enum class Kind : std::uint8_t {
    schema,  ///< the columns of the stream from now on
    record,  ///< for the stage
    apply,   ///< apply what was staged of the stream, commit, and say so by committed()
    state,   ///< one has come; whether it may be echoed, committed() tells
  };
  Kind kind = Kind::record;
  std::string_view stream{};
  std::uint64_t line = 0;

  // schema
  const SingerSchema* schema = nullptr;
  bool held =
      false;  ///< rows with the columns before are staged, and wait to be applied with those that come

  // record: cells in the order of the schema's columns
  Record record{};
  std::uint64_t position = 0;
  bool deleted = false;  ///< it says when its row was deleted at the source

  // apply
  SingerApply apply{};
};

/// Reads what a tap writes. A message that is none, or that comes out of order, throws an Error that names
/// its line; a record that does not keep to its schema's key or encoding comes as a malformed one.
class SingerReader {
 public:
  SingerReader(std::unique_ptr<ByteSource> source, SingerOptions options);
  ~SingerReader();
  SingerReader(const SingerReader&) = delete;
  SingerReader& operator=(const SingerReader&) = delete;

  /// Nothing at the clean end, after which everything that was staged was asked to be applied.
  std::optional<SingerEvent> next();
  [[nodiscard]] ReadProgress progress() const { return frames_.progress(); }

  /// See SingerFlow.
  [[nodiscard]] bool may_apply(const std::string& stream) const { return flow_.may_apply(stream); }
  std::optional<std::string> committed(const std::string& stream, std::uint64_t position) {
    return flow_.committed(stream, position);
  }
  [[nodiscard]] std::optional<std::string> state_after(const std::string& stream,
                                                       std::uint64_t position) const {
    return flow_.state_after(stream, position);
  }
  std::optional<std::string> ready_state() { return flow_.ready_state(); }

  /// Keys of the stream's records that its schema does not have; they are not loaded. The first of them only.
  [[nodiscard]] std::vector<std::string> unknown_keys(const std::string& stream) const;

 private:
  struct Stream;
  struct Batch;

  [[noreturn]] void fail(std::uint64_t line, const std::string& reason, const std::string& remedy = {}) const;
  [[noreturn]] void fail_at(const JsonFrame& frame, const JsonBreak& fault) const;
  void take(const JsonFrame& frame);
  void take_schema(const SingerMessage& message, std::uint64_t line);
  void take_record(const SingerMessage& message, const JsonFrame& frame);
  void take_version(const SingerMessage& message, std::uint64_t line);
  void take_batch(const SingerMessage& message, std::uint64_t line);
  /// The next record of the batch that is being read; false at its end.
  bool take_from_batch();
  Stream& stream_of(const SingerMessage& message, std::uint64_t line, const char* what);
  void add_record(Stream& stream, std::optional<std::int64_t> version, const JsonFrame& frame,
                  std::string_view text, std::string_view file);
  void push_apply(SingerApply apply, std::uint64_t line);

  SingerOptions options_;
  JsonFrames frames_;
  SingerMessages messages_;
  SingerFlow flow_;
  std::map<std::string, std::unique_ptr<Stream>, std::less<>> streams_;
  std::unique_ptr<Batch> batch_;
  std::deque<SingerEvent> events_;
  std::string apply_stream_;
  bool ended_ = false;
};

}  // namespace weir::load
