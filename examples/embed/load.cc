// Brings a table up to a file while others read it. Usage: embed_load URL FILE TABLE KEY

#include <cstddef>
#include <iostream>
#include <span>
#include <string>

#include <weir/load.h>

namespace {

// [load] The plan with its locks first, then the load.
void refresh(const std::string& url, const std::string& file, const std::string& table,
             const std::string& key) {
  weir::Load load(url, {.from = {file}}, {.into = table, .key = {key}, .max_rejects = 1});
  load.on_progress([](const weir::LoadProgress& at) {
    if (!at.note.empty()) std::cerr << at.rows << " rows: " << at.note << '\n';
  });
  const weir::LoadPlan plan = load.plan();
  if (!plan.create_sql.empty()) std::cout << "makes " << plan.table << '\n';
  std::cout << "strongest lock: " << plan.strongest_lock << '\n';

  const weir::LoadResult done = load.run();  // a program that stays hands over a stop token
  std::cout << done.table << ": " << done.inserted << " inserted, " << done.updated << " updated, "
            << done.deleted << " deleted, " << done.unchanged << " unchanged, " << done.rejected
            << " rejected\n";
}
// [end]

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  if (words.size() != 5) {
    std::cerr << "usage: embed_load URL FILE TABLE KEY\n";
    return 2;
  }
  try {
    refresh(words[1], words[2], words[3], words[4]);
    return 0;
  } catch (const weir::Error& error) {
    std::cerr << "embed_load: " << error.what() << '\n';
    if (!error.remedy().empty()) std::cerr << error.remedy() << '\n';
    return static_cast<int>(error.exit_code());
  }
}
