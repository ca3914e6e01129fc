// What a tap writes: every line is taken or refused by an Error, positions only grow, what is asked to be
// applied was there, and no state is echoed before the records in front of it are committed.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "load/read/singer_reader.h"

namespace {

using weir::load::SingerEvent;
using weir::load::SingerReader;

class Bytes : public weir::load::ByteSource {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}
  std::size_t read(std::span<char> room) override {
    const std::size_t count = std::min(room.size(), bytes_.size());
    std::memcpy(room.data(), bytes_.data(), count);
    bytes_.remove_prefix(count);
    return count;
  }
  weir::load::ReadProgress progress() const override { return {}; }

 private:
  std::string_view bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  weir::load::SingerOptions options{.schema = {.flatten = data[0] % 3U, .soft_delete = (data[0] & 4U) != 0}};
  if ((data[0] & 8U) != 0) options.active_versions = {{"s", 1}};
  options.open_file = [](const std::string& path) { return std::make_unique<Bytes>(path); };
  SingerReader reader(std::make_unique<Bytes>(bytes), options);
  std::uint64_t last = 0;
  std::map<std::string, std::uint64_t> waiting;  // streams with records that are not committed
  const auto commit = [&](const std::string& stream, std::uint64_t position) {
    const auto echoed = reader.committed(stream, position);
    if (echoed && (echoed->empty() || *echoed == "{}")) std::abort();
    waiting.erase(stream);
  };
  try {
    while (const auto event = reader.next()) {
      switch (event->kind) {
        case SingerEvent::Kind::record:
          if (event->position <= last) std::abort();
          last = event->position;
          if (event->record.malformed.empty() && event->record.cells.empty()) break;
          waiting[std::string(event->stream)] = last;
          break;
        case SingerEvent::Kind::apply:
          if (event->apply.position > last) std::abort();
          commit(event->apply.stream, event->apply.position);
          break;
        case SingerEvent::Kind::schema:
          if (event->schema == nullptr) std::abort();
          break;
        case SingerEvent::Kind::state:
          if (waiting.empty()) reader.ready_state();
          break;
      }
    }
    // After a clean end nothing waits.
    if (!waiting.empty()) std::abort();
  } catch (const weir::Error& error) {
    if (std::string_view(error.what()).empty()) std::abort();
  }
  return 0;
}
