#include "group/sinks/command_sink.h"

#include <fmt/format.h>

#include "base/json_text.h"

namespace weir::group {
namespace {

std::string envelope(const Batch& batch) {
  const auto number = [](const std::optional<std::int64_t>& value) {
    return value ? std::to_string(*value) : "null";
  };
  std::string text = "{\"batch\":";
  append_json_string(text, batch.id());
  text += ",\"tenant\":";
  append_json_string(text, batch.group.tenant);
  text += ",\"key\":";
  append_json_string(text, batch.group.key);
  text += ",\"run\":";
  append_json_string(text, batch.run);
  text += fmt::format(",\"index\":{},\"final\":{},\"rows\":{},\"bytes\":{},\"payload\":", batch.idx,
                      batch.final, number(batch.rows), number(batch.bytes));
  return text + batch.payload + "}";
}

}  // namespace

work::Outcome CommandSink::apply(const Batch& batch, const Application& application) {
  application.verify();
  const std::string payload = envelope(batch);
  work::Item item;
  item.id = batch.run_id;
  item.source = "batch";
  item.payload = payload;
  item.attempt = batch.attempt;
  item.error = batch.error;
  item.created_at = batch.created_at;
  work::Batch one(std::span(&item, 1), application.stop);
  handler_.run(one);
  const work::Outcome outcome = one.outcomes().front();
  if (!outcome.is_open()) return outcome;
  return application.stop.stop_requested()
             ? work::Outcome::returned()
             : work::Outcome::failed("the command left the batch without an answer");
}

}  // namespace weir::group
