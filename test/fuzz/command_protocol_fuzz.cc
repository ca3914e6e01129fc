// What a user's program may write, and what payloads and texts may hold that are written to it. An answer is
// refused or fits PostgreSQL; an item is one line of JSON with its payload as it was, whatever is in it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "work/command_protocol.h"
#include "work/json_members.h"
#include "work/json_syntax.h"
#include "work/line_buffer.h"

namespace {

using namespace weir::work;

void require(bool holds, std::string_view what, std::string_view text) {
  if (holds) return;
  fmt::print(stderr, "{}: {}\n", what, text);
  std::abort();
}

void try_answer(std::string_view line) {
  try {
    const auto answer = decode_answer(line);
    if (!answer) return;
    const std::string& text = answer->outcome.text();
    require(answer->outcome.is_open() == answer->progress.has_value(), "neither an outcome nor progress",
            line);
    if (answer->progress) {
      const Progress& progress = *answer->progress;
      require(progress.share >= 0 && progress.share <= 1, "more than all of it", line);
      require(!weir::find_invalid_utf8(progress.note) && progress.note.find('\0') == std::string::npos,
              "a note that is no text of PostgreSQL's", line);
    }
    require(!weir::find_invalid_utf8(text) && text.find('\0') == std::string::npos, "no text of PostgreSQL's",
            line);
    require(answer->all || !answer->ids.empty() || line.find("ack") != std::string_view::npos, "of no item",
            line);
    if (answer->outcome.is_done() && !text.empty()) {
      require(!find_json_fault(text) && !find_jsonb_fault(text), "a result that is no jsonb", line);
    }
    require(answer->outcome.delay() >= weir::Duration::zero(), "a delay into the past", line);
  } catch (const AnswerError& error) {
    require(*error.what() != '\0', "a refusal without a reason", line);
  }
}

void try_item(std::string_view text, std::size_t step) {
  const std::vector<Item> items{{.id = 1, .source = text, .kind = text, .payload = text, .error = text}};
  const Batch batch(items, {});
  BatchText out(batch, 1);
  LineBuffer lines(text.size() * 40 + 1000);
  while (!out.done()) {
    const std::string_view piece = out.next().substr(0, step);
    lines.append(piece);
    out.taken(piece.size());
  }
  const std::string first(lines.next().value_or(""));
  const std::string second(lines.next().value_or(""));
  require(second == R"({"end":1,"items":1})" && lines.take_rest().empty(), "not two lines", text);
  if (find_payload_fault(text) || !nlohmann::json::accept(text) || text.find('\0') != std::string_view::npos)
    return;
  if (text.starts_with("\xEF\xBB\xBF")) return;  // a byte order mark is forgiven at the start of a text only
  const auto item = nlohmann::json::parse(first, nullptr, false);
  require(item.is_object() && item["payload"] == nlohmann::json::parse(text), "another payload", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t step = std::size_t{1} + data[0];
  LineBuffer lines(1 << 20);
  for (std::size_t at = 0; at < text.size(); at += step) {
    lines.append(text.substr(at, step));
    while (const auto line = lines.next()) try_answer(*line);
  }
  try_answer(lines.take_rest());
  try_answer(fmt::format(R"({{"id":1,"ok":true,"result":{}}})", text));
  try_answer(fmt::format(R"({{"id":1,"error":"{}"}})", text));
  try_answer(fmt::format(R"({{"id":1,"progress":{},"note":"{}"}})", text.substr(0, text.size() / 2), text));
  try_item(text, step);
  return 0;
}
