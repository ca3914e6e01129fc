#include "stream/group_work.h"

#include <algorithm>

namespace weir::stream {

std::int64_t GroupWork::size() const noexcept {
  if (const auto* chunk = std::get_if<Chunk>(&events)) return chunk->events;
  return static_cast<std::int64_t>(std::get<Letters>(events).size());
}

int GroupWork::failed(std::int64_t number) const noexcept {
  if (lane && lane->failed_event == number) return lane->failed;
  const auto* letters = std::get_if<Letters>(&events);
  if (letters == nullptr) return 0;
  const auto found = std::find_if(letters->begin(), letters->end(),
                                  [&](const Letter& letter) { return letter.id == number; });
  return found == letters->end() ? 0 : found->failed;
}

std::vector<std::int64_t> ids_of(const Letters& letters) {
  std::vector<std::int64_t> ids;
  ids.reserve(letters.size());
  for (const Letter& letter : letters) ids.push_back(letter.id);
  return ids;
}

}  // namespace weir::stream
