#pragma once

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cli/term/paint.h"
#include "group/overview.h"

// What the commands about feeds, batches and groups print. Pure.

namespace weir::cli {

std::string feeds_text(const std::vector<group::Feed>& feeds, const Paint& paint);
nlohmann::ordered_json feed_json(const group::Feed& feed);

std::string batches_table(const std::vector<group::BatchLine>& batches, const Paint& paint);
nlohmann::ordered_json batch_json(const group::BatchLine& batch);

std::string story_text(const group::BatchStory& story, const Paint& paint);
nlohmann::ordered_json story_json(const group::BatchStory& story);

/// The headline and a line for each sink.
std::string lag_text(const std::vector<group::SinkLag>& sinks, const Paint& paint);
std::string headline_text(std::span<const group::SinkLag> sinks);
nlohmann::ordered_json lag_json(const std::vector<group::SinkLag>& sinks);

std::string in_flight_text(const std::vector<group::GroupInFlight>& groups, const Paint& paint);
nlohmann::ordered_json in_flight_json(const std::vector<group::GroupInFlight>& groups);

}  // namespace weir::cli
