#include "load/read/singer_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "load/read/json_reader.h"
#include "load/read/singer_bytes.h"

namespace weir::load {
namespace {

std::string path_of_url(const std::string& url) {
  constexpr std::string_view kScheme = "file://";
  if (!url.starts_with(kScheme)) return url.find("://") == std::string::npos ? url : std::string();
  std::string path;
  for (std::size_t i = kScheme.size(); i < url.size(); ++i) {
    if (url[i] == '%' && i + 2 < url.size() &&
        append_decoded(BytesAs::base16, std::string_view(url).substr(i + 1, 2), path)) {
      i += 2;
    } else {
      path.push_back(url[i]);
    }
  }
  return path;
}

}  // namespace

/// What a record of the stream is taken apart with; made anew when the schema changes.
struct SingerReader::Stream {
  std::string name;
  const SingerSchema* schema = nullptr;
  std::unique_ptr<JsonCells> parser;
  std::vector<Cell> cells;
  std::string bytes;                 // of columns that carry bytes as text
  std::string reason;                // why the record is malformed
  std::size_t deleted_at = 0;        // its column, or none
  std::vector<std::string> unknown;  // keys of records that an earlier schema did not have

  void use(const SingerSchema& given) {
    if (parser) unknown = unknown_keys();
    schema = &given;
    parser =
        std::make_unique<JsonCells>(JsonCells::Options{.grow = false, .max_columns = given.columns.size()});
    deleted_at = given.columns.size();
    for (std::size_t i = 0; i < given.columns.size(); ++i) {
      const SingerColumn& column = given.columns[i];
      parser->declare(column.path, column.name);
      if (column.type.base == Base::jsonb) parser->keep_json(i);
      if (column.name == kDeletedAt) deleted_at = i;
    }
  }

  /// Answers what the record lacks; nothing where it is sound.
  std::string check() {
    const std::span<const Cell> read = parser->cells();
    cells.assign(read.begin(), read.end());
    for (const std::size_t key : schema->keys) {
      if (cells[key].is_null()) {
        return fmt::format("the key column '{}' {}", printable(schema->columns[key].name),
                           cells[key].kind == Cell::Kind::absent ? "is missing" : "is null");
      }
    }
    return decode();
  }

  [[nodiscard]] std::vector<std::string> unknown_keys() const {
    std::vector<std::string> keys = unknown;
    for (const std::string& key : parser->unknown_keys()) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
    return keys;
  }

  std::string decode() {
    bytes.clear();
    std::vector<std::pair<std::size_t, std::size_t>> ends;  // column, and where its bytes end
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const SingerColumn& column = schema->columns[i];
      if (column.bytes_as == BytesAs::text || cells[i].kind != Cell::Kind::text) continue;
      if (!append_decoded(column.bytes_as, cells[i].text, bytes)) {
        return fmt::format("'{}' in column '{}' is not {}", printable(elide(cells[i].text, 40)),
                           printable(column.name), column.bytes_as == BytesAs::base16 ? "base16" : "base64");
      }
      ends.emplace_back(i, bytes.size());
    }
    std::size_t begin = 0;
    for (const auto& [column, end] : ends) {
      cells[column] = {.kind = Cell::Kind::bytes, .text = std::string_view(bytes).substr(begin, end - begin)};
      begin = end;
    }
    return {};
  }
};

struct SingerReader::Batch {
  Stream* stream = nullptr;
  std::optional<std::int64_t> version;
  std::uint64_t line = 0;  // of the message
  std::deque<std::string> paths;
  std::string path;  // that is being read
  std::unique_ptr<JsonFrames> frames;
};

SingerReader::SingerReader(std::unique_ptr<ByteSource> source, SingerOptions options)
    : options_(std::move(options)),
      frames_(std::move(source), JsonShape::lines, options_.max_message_bytes),
      flow_(options_.active_versions) {}

SingerReader::~SingerReader() = default;

std::optional<SingerEvent> SingerReader::next() {
  while (events_.empty() && !ended_) {
    if (batch_) {
      if (!take_from_batch()) batch_.reset();
    } else if (const std::optional<JsonFrame> frame = frames_.next()) {
      take(*frame);
    } else {
      ended_ = true;
      for (SingerApply& apply : flow_.on_end()) push_apply(std::move(apply), 0);
    }
  }
  if (events_.empty()) return std::nullopt;
  SingerEvent event = std::move(events_.front());
  events_.pop_front();
  if (event.kind == SingerEvent::Kind::apply) {
    apply_stream_ = event.apply.stream;
    event.stream = apply_stream_;
  }
  return event;
}

void SingerReader::fail(std::uint64_t line, const std::string& reason, const std::string& remedy) const {
  throw Error(ExitCode::failed, fmt::format("{}:{}: {}", options_.name, line, reason), remedy);
}

void SingerReader::fail_at(const JsonFrame& frame, const JsonBreak& fault) const {
  throw Error(
      ExitCode::failed,
      fmt::format("{}:{}:{}: this is no Singer message: {}", options_.name, frame.line,
                  frame.column + fault.at, fault.reason),
      "A tap writes one JSON object on each line of its standard output, and its log to standard error.");
}

void SingerReader::take(const JsonFrame& frame) {
  if (!frame.broken.empty()) {
    constexpr std::size_t kMostMebibytes = 1024;
    const std::size_t twice = 2 * std::max<std::size_t>(options_.max_message_bytes >> 20U, 1);
    fail(frame.line, fmt::format("a message is too long: {}", frame.broken),
         fmt::format("If the tap is right, raise the limit, in MiB: --max-record {}",
                     std::min(twice, kMostMebibytes)));
  }
  const tl::expected<SingerMessage, JsonBreak> message = messages_.parse(frame.text);
  if (!message) fail_at(frame, message.error());
  switch (message->type) {
    case SingerMessage::Type::schema: take_schema(*message, frame.line); break;
    case SingerMessage::Type::record: take_record(*message, frame); break;
    case SingerMessage::Type::activate_version: take_version(*message, frame.line); break;
    case SingerMessage::Type::batch: take_batch(*message, frame.line); break;
    case SingerMessage::Type::state:
      flow_.on_state(message->value);
      events_.push_back({.kind = SingerEvent::Kind::state, .line = frame.line});
      break;
  }
}

void SingerReader::take_schema(const SingerMessage& message, std::uint64_t line) {
  const std::string name(message.stream);
  tl::expected<SingerSchema, std::string> schema =
      parse_singer_schema(message.schema, message.key_properties, options_.schema);
  if (!schema) fail(line, fmt::format("the schema of stream '{}': {}", printable(name), schema.error()));
  SingerFlow::SchemaStep step = flow_.on_schema(name, std::move(*schema));
  if (!step.changed) return;
  if (step.first) push_apply(std::move(*step.first), line);
  std::unique_ptr<Stream>& stream = streams_[name];
  if (!stream) stream = std::make_unique<Stream>();
  stream->name = name;
  stream->use(*flow_.schema(name));
  events_.push_back({.kind = SingerEvent::Kind::schema,
                     .stream = stream->name,
                     .line = line,
                     .schema = stream->schema,
                     .held = step.held});
}

SingerReader::Stream& SingerReader::stream_of(const SingerMessage& message, std::uint64_t line,
                                              const char* what) {
  const auto found = streams_.find(message.stream);
  if (found == streams_.end()) {
    fail(line,
         fmt::format("{} of stream '{}' came before the stream's SCHEMA", what, printable(message.stream)),
         "The tap has to write a SCHEMA first.");
  }
  return *found->second;
}

void SingerReader::take_record(const SingerMessage& message, const JsonFrame& frame) {
  Stream& stream = stream_of(message, frame.line, "a RECORD");
  add_record(stream, message.version, frame, message.record, {});
}

void SingerReader::add_record(Stream& stream, std::optional<std::int64_t> version, const JsonFrame& frame,
                              std::string_view text, std::string_view file) {
  SingerFlow::RecordStep step = flow_.on_record(stream.name, version);
  if (step.first) push_apply(std::move(*step.first), frame.line);
  SingerEvent event{.kind = SingerEvent::Kind::record,
                    .stream = stream.name,
                    .line = frame.line,
                    .position = step.position};
  // The record alone: so it can be loaded again.
  event.record = {.cells = {}, .line = frame.line, .file = file, .raw = raw_head(text)};
  if (!frame.broken.empty()) {
    stream.reason = frame.broken;
  } else if (const std::optional<JsonBreak> fault = stream.parser->read(text)) {
    stream.reason = fault->reason;
    const auto within = static_cast<std::uint64_t>(text.data() - frame.text.data());
    event.record.malformed_column = static_cast<std::uint32_t>(frame.column + within + fault->at);
  } else {
    stream.reason = stream.check();
  }
  event.record.malformed = stream.reason;
  if (stream.reason.empty()) {
    event.record.cells = stream.cells;
    event.deleted = stream.deleted_at < stream.cells.size() && !stream.cells[stream.deleted_at].is_null();
  }
  events_.push_back(event);
}

void SingerReader::take_version(const SingerMessage& message, std::uint64_t line) {
  const Stream& stream = stream_of(message, line, "an ACTIVATE_VERSION");
  if (std::optional<SingerApply> apply = flow_.on_version(stream.name, *message.version)) {
    push_apply(std::move(*apply), line);
  }
}

void SingerReader::take_batch(const SingerMessage& message, std::uint64_t line) {
  Stream& stream = stream_of(message, line, "a BATCH");
  if (!options_.open_file) fail(line, "a BATCH message: files of a tap are not read here");
  auto batch = std::make_unique<Batch>();
  batch->stream = &stream;
  batch->version = message.version;
  batch->line = line;
  const auto manifest = nlohmann::json::parse(message.manifest);
  if (!message.encoding.empty()) {
    const auto encoding = nlohmann::json::parse(message.encoding);
    const auto format =
        encoding.is_object() ? encoding.value("format", nlohmann::json("jsonl")) : nlohmann::json();
    if (format != "jsonl") {
      fail(line,
           fmt::format("a BATCH of stream '{}' in the format {}", printable(stream.name),
                       printable(format.dump())),
           "Only jsonl is read, as it is or compressed by gzip or zstd.");
    }
  }
  for (const auto& entry : manifest) {
    const std::string url = entry.is_string() ? entry.get<std::string>() : std::string();
    std::string path = path_of_url(url);
    if (path.empty()) {
      fail(line, fmt::format("a BATCH of stream '{}' names {}, which is no file of this machine",
                             printable(stream.name), printable(entry.dump())));
    }
    batch->paths.push_back(std::move(path));
  }
  batch_ = std::move(batch);
}

bool SingerReader::take_from_batch() {
  for (;;) {
    if (!batch_->frames) {
      if (batch_->paths.empty()) return false;
      batch_->path = std::move(batch_->paths.front());
      batch_->paths.pop_front();
      batch_->frames = std::make_unique<JsonFrames>(options_.open_file(batch_->path), JsonShape::lines,
                                                    options_.max_message_bytes);
    }
    if (const std::optional<JsonFrame> frame = batch_->frames->next()) {
      add_record(*batch_->stream, batch_->version, *frame, frame->text, batch_->path);
      return true;
    }
    batch_->frames.reset();
  }
}

void SingerReader::push_apply(SingerApply apply, std::uint64_t line) {
  SingerEvent event{.kind = SingerEvent::Kind::apply, .line = line};
  event.apply = std::move(apply);
  events_.push_back(std::move(event));
}

std::vector<std::string> SingerReader::unknown_keys(const std::string& stream) const {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? std::vector<std::string>() : found->second->unknown_keys();
}

}  // namespace weir::load
