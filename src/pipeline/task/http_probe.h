#pragma once

#include <stop_token>
#include <string>

#include "base/clock.h"

namespace weir::pipeline {

/// Whether a GET of the URL is answered with a status of 2xx; false where nobody answers. Throws for what is
/// no http or https URL. Follows no redirect to another kind of address, and reads none of the body.
bool http_answers(const std::string& url, const std::stop_token& stop);

/// POSTs a JSON document; answers nothing when it was taken (2xx) within `limit`, else why not, without a
/// word of the URL, which may be a secret.
std::string http_post(const std::string& url, const std::string& json, Duration limit,
                      const std::stop_token& stop);

}  // namespace weir::pipeline
