#include "embedded/start_failure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/wait.h"

namespace weir::embedded {

namespace {

constexpr Duration kPause = std::chrono::milliseconds(20);

bool is_held_by_old_processes(std::string_view news) {
  return news.find("shared memory block") != std::string_view::npos;
}

}  // namespace

std::string final_news(const LogMark& mark, Deadline deadline, const std::stop_token& stop) {
  Wakeup wakeup;
  const Deadline patience = Deadline::after(std::chrono::seconds(1)).sooner(deadline);
  for (;;) {
    std::string news = mark.news();
    const bool complete =
        news.find("FATAL:") != std::string::npos || news.find("PANIC:") != std::string::npos;
    if (complete || patience.expired()) return news;
    if (wait_fd(-1, 0, Deadline::after(kPause), stop, wakeup) == WaitEnd::stopped) return news;
  }
}

bool may_pass(std::string_view news) {
  return is_held_by_old_processes(news) || news.find("postmaster.pid\" is empty") != std::string_view::npos ||
         news.find("bogus data in lock file") != std::string_view::npos;
}

Error start_error(const Site& site, std::string_view news) {
  const auto says = [&](std::string_view words) { return news.find(words) != std::string_view::npos; };
  std::string message = "the server did not start";
  std::string remedy = fmt::format("The log is in {}; settings of your own are in {}.", site.logs().string(),
                                   (site.home / "custom.conf").string());
  if (says("Address already in use")) {
    message = "the server did not start, because its port is in use by another program";
    remedy = "Choose another port, or find the program that has it (ss -ltnp) and stop it.";
  } else if (is_held_by_old_processes(news)) {
    message = "the server crashed before, and processes of it still run";
    remedy = fmt::format("End the processes that use {} (fuser {}), then start again.", site.data().string(),
                         site.data().string());
  } else if (says("No space left on device")) {
    remedy = fmt::format("Make room on the disk of {}, then start again.", site.home.string());
  }
  const auto lines = telling_lines(news, 6);
  if (!lines.empty()) message += fmt::format(": {}", fmt::join(lines, "; "));
  return Error(ExitCode::database, message, remedy);
}

}  // namespace weir::embedded
