#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cli/term/paint.h"
#include "stream/admin.h"
#include "stream/overview.h"
#include "stream/peek.h"

// What the commands about streams print. Pure.

namespace weir::cli {

std::string streams_text(const std::vector<stream::StreamLine>& streams, const Paint& paint);
nlohmann::ordered_json streams_json(const std::vector<stream::StreamLine>& streams);

std::string groups_text(const std::vector<stream::GroupFigures>& groups, const Paint& paint);
nlohmann::ordered_json groups_json(const std::vector<stream::GroupFigures>& groups);

std::string lanes_text(const std::vector<stream::LaneFigures>& lanes, const Paint& paint);
nlohmann::ordered_json lanes_json(const std::vector<stream::LaneFigures>& lanes);

/// "1,234", "more than 100,000"
std::string uncut_text(const stream::Uncut& uncut);
nlohmann::ordered_json uncut_json(const std::optional<stream::Uncut>& uncut);

/// Its settings in one line, as weir stream set takes them.
std::string settings_text(const stream::StreamDefinition& stream, const stream::StreamOverview& overview);

std::string overview_text(const stream::StreamDefinition& stream, const stream::StreamOverview& overview,
                          const Paint& paint);
nlohmann::ordered_json overview_json(const stream::StreamDefinition& stream,
                                     const stream::StreamOverview& overview);

nlohmann::ordered_json event_json(const stream::SeenEvent& event);
nlohmann::ordered_json letter_json(const stream::DeadLetter& letter);

}  // namespace weir::cli
