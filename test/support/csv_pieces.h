#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "load/read/csv_splitter.h"
#include "support/naive_csv.h"

namespace weir::test {

/// The same as naive_csv, by the splitter, which is shown the text in pieces of the sizes that `next_size`
/// gives. Each window is memory of its own, so that a sanitizer sees what is read outside of it.
inline NaiveFile split_in_pieces(std::string_view text, const load::CsvDialect& dialect,
                                 const std::function<std::size_t()>& next_size) {
  using Step = load::CsvSplitter::Step;
  NaiveFile file;
  load::CsvSplitter splitter(dialect);
  std::string window;  // with the padding, which is full of what could be mistaken
  std::size_t shown = 0;
  std::size_t size = 0;
  for (;;) {
    switch (splitter.next()) {
      case Step::end: return file;
      case Step::unclosed: file.open_quote_line = splitter.quote_line(); return file;
      case Step::more: {
        const std::size_t dropped = splitter.needed_from();
        if (size - dropped > dialect.max_record) std::abort();  // it asks for more memory than it may
        const std::size_t count = std::min(next_size(), text.size() - shown);
        std::string moved(window, dropped, size - dropped);
        moved += text.substr(shown, count);
        shown += count;
        size = moved.size();
        moved += std::string(load::CsvSplitter::kPadding, dialect.delimiter);
        moved.shrink_to_fit();
        window = std::move(moved);
        splitter.show(window.data(), size, dropped, count == 0);
        break;
      }
      case Step::record: {
        NaiveRecord record{.line = splitter.line(), .raw = std::string(splitter.bytes())};
        if (splitter.too_long())
          record.kind = NaiveRecord::Kind::too_long;
        else if (splitter.stray_at() != 0)
          record.kind = NaiveRecord::Kind::stray;
        std::string unescaped;
        unescaped.reserve(record.raw.size());
        for (std::size_t i = 0; record.kind == NaiveRecord::Kind::good && i < splitter.field_count(); ++i) {
          const load::CsvField& field = splitter.field(i);
          const std::string_view cell = splitter.text(field, unescaped);
          const bool null = !field.quoted && std::find(dialect.nulls.begin(), dialect.nulls.end(), cell) !=
                                                 dialect.nulls.end();
          record.cells.push_back(null ? std::nullopt : std::optional(std::string(cell)));
        }
        file.records.push_back(std::move(record));
        break;
      }
    }
  }
}

}  // namespace weir::test
