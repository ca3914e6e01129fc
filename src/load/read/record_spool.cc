#include "load/read/record_spool.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/unique_fd.h"

namespace weir::load {
namespace {

[[noreturn]] void fail(const char* what) {
  throw Error(ExitCode::failed,
              fmt::format("records cannot be {} in a temporary file: {}", what, std::strerror(errno)),
              "Make room on that disk, or name another folder: TMPDIR=/where/room/is");
}

std::FILE* open_unnamed() {
  const char* const folder = std::getenv("TMPDIR");
  // Not /tmp: that is memory on many machines.
  std::string path =
      fmt::format("{}/weir-records-XXXXXX", folder == nullptr || *folder == '\0' ? "/var/tmp" : folder);
  UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd.valid()) fail("kept");
  ::unlink(path.c_str());
  std::FILE* const file = ::fdopen(fd.get(), "w+b");
  if (file == nullptr) fail("kept");
  static_cast<void>(fd.release());
  return file;
}

/// Numbers and texts one behind the other: the file is read by the process that wrote it.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  void number(std::uint64_t value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out_.append(bytes, sizeof value);
  }
  void text(std::string_view value) {
    number(value.size());
    out_ += value;
  }

 private:
  std::string& out_;
};

class Scanner {
 public:
  explicit Scanner(std::string_view in) : in_(in) {}
  std::uint64_t number() {
    std::uint64_t value = 0;
    std::memcpy(&value, in_.data(), sizeof value);
    in_.remove_prefix(sizeof value);
    return value;
  }
  std::string_view text() {
    const auto size = static_cast<std::size_t>(number());
    const std::string_view value = in_.substr(0, size);
    in_.remove_prefix(size);
    return value;
  }

 private:
  std::string_view in_;
};

}  // namespace

class RecordSpool::Reader final : public RecordReader {
 public:
  explicit Reader(RecordSpool& spool) : spool_(spool) {}

  [[nodiscard]] const std::vector<std::string>& columns() const override { return spool_.columns_; }
  [[nodiscard]] ReadProgress progress() const override { return {read_, spool_.bytes_}; }

  std::optional<Record> next() override {
    if (given_ == spool_.records_) return std::nullopt;
    ++given_;
    std::uint64_t size = 0;
    take(&size, sizeof size);
    line_.resize(static_cast<std::size_t>(size));
    take(line_.data(), line_.size());
    read_ += sizeof size + size;
    Scanner scanner(line_);
    Record record;
    record.line = scanner.number();
    record.file = scanner.text();
    record.raw = scanner.text();
    record.malformed = scanner.text();
    record.malformed_column = static_cast<std::uint32_t>(scanner.number());
    // Columns that came later are absent.
    cells_.assign(spool_.columns_.size(), Cell{.kind = Cell::Kind::absent});
    const auto count = static_cast<std::size_t>(scanner.number());
    for (std::size_t i = 0; i < count; ++i) {
      cells_[i].kind = static_cast<Cell::Kind>(scanner.number());
      cells_[i].text = scanner.text();
    }
    record.cells = cells_;
    return record;
  }

 private:
  void take(void* to, std::size_t size) {
    if (size > 0 && std::fread(to, 1, size, spool_.file_.get()) != size) fail("read");
  }

  RecordSpool& spool_;
  std::string line_;
  std::vector<Cell> cells_;
  std::uint64_t given_ = 0;
  std::uint64_t read_ = 0;
};

void RecordSpool::use(const std::vector<std::string>& columns) {
  if (records_ == 0) columns_.clear();
  place_.clear();
  for (const std::string& name : columns) {
    const auto found = std::find(columns_.begin(), columns_.end(), name);
    place_.push_back(static_cast<std::size_t>(found - columns_.begin()));
    if (found == columns_.end()) columns_.push_back(name);
  }
}

void RecordSpool::use_also(const std::string& column) {
  if (std::find(columns_.begin(), columns_.end(), column) == columns_.end()) columns_.push_back(column);
}

void RecordSpool::add(const Record& record) {
  if (!file_) file_.reset(open_unnamed());
  line_.clear();
  Writer writer(line_);
  writer.number(record.line);
  writer.text(record.file);
  writer.text(record.raw);
  writer.text(record.malformed);
  writer.number(record.malformed_column);
  row_.assign(columns_.size(), Cell{.kind = Cell::Kind::absent});
  for (std::size_t i = 0; record.malformed.empty() && i < record.cells.size(); ++i)
    row_[place_[i]] = record.cells[i];
  writer.number(row_.size());
  for (const Cell& cell : row_) {
    writer.number(static_cast<std::uint64_t>(cell.kind));
    writer.text(cell.text);
  }
  const std::uint64_t size = line_.size();
  char head[sizeof size];
  std::memcpy(head, &size, sizeof size);
  put({head, sizeof size});
  put(line_);
  ++records_;
}

void RecordSpool::put(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) fail("kept");
  bytes_ += text.size();
}

std::unique_ptr<RecordReader> RecordSpool::read() {
  if (file_ && (std::fflush(file_.get()) != 0 || std::fseek(file_.get(), 0, SEEK_SET) != 0)) fail("kept");
  return std::make_unique<Reader>(*this);
}

void RecordSpool::clear() noexcept {
  file_.reset();
  records_ = 0;
  bytes_ = 0;
}

}  // namespace weir::load
