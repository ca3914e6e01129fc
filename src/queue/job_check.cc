#include "queue/job_check.h"

#include <limits>

#include "base/error.h"
#include "base/text.h"
#include "work/json_members.h"
#include "work/json_syntax.h"

namespace weir::queue {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

[[noreturn]] void refuse(const NewJob& job, const std::string& what, std::string remedy) {
  const std::string queue =
      job.queue.empty() ? std::string() : " for queue \"" + elide(printable(job.queue), 40) + "\"";
  throw Error(ExitCode::usage, "a job" + queue + " was refused: " + what, std::move(remedy));
}

void check_text(const NewJob& job, std::string_view name, std::string_view text) {
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos) {
    refuse(job, "its " + std::string(name) + " has a zero byte at " + std::to_string(at),
           "PostgreSQL's text cannot hold one: leave it out");
  }
  if (const auto at = find_invalid_utf8(text)) {
    refuse(job, "its " + std::string(name) + " is not UTF-8 at byte " + std::to_string(*at),
           "convert it to UTF-8");
  }
}

}  // namespace

std::optional<std::string> find_payload_fault(std::string_view text) {
  if (const auto at = find_invalid_utf8(text)) return "it is not UTF-8 at byte " + std::to_string(*at);
  if (text.starts_with(kByteOrderMark)) return "it begins with a byte order mark";
  if (const auto at = work::find_json_fault(text)) return "it is no JSON at byte " + std::to_string(*at);
  return work::find_jsonb_fault(text);
}

void check_job(const NewJob& job) {
  if (job.queue.empty()) refuse(job, "it names no queue", "set its queue");
  check_text(job, "queue", job.queue);
  check_text(job, "kind", job.kind);
  if (job.unique_key) check_text(job, "unique_key", *job.unique_key);
  if (job.limit_key) check_text(job, "limit_key", *job.limit_key);
  if (const auto fault = find_payload_fault(job.payload)) {
    refuse(job, "its payload cannot be stored as jsonb: " + *fault, "hand over valid JSON text in UTF-8");
  }
  using Small = std::numeric_limits<std::int16_t>;
  if (job.priority < Small::min() || job.priority > Small::max()) {
    refuse(job, "its priority is " + std::to_string(job.priority), "use -32768 (first) to 32767 (last)");
  }
  if (job.max_attempts && (*job.max_attempts < 1 || *job.max_attempts > Small::max()))
    refuse(job, "its max_attempts is " + std::to_string(*job.max_attempts), "use 1 to 32767");
  if (job.unique_for && *job.unique_for <= NewJob::Span::zero())
    refuse(job, "its unique_for is not more than nothing", "leave it out to keep the key as long as the job");
}

}  // namespace weir::queue
