#pragma once

#include <stop_token>
#include <string>

namespace weir::pipeline {

/// Whether a GET of the URL is answered with a status of 2xx; false where nobody answers. Throws for what is
/// no http or https URL. Follows no redirect to another kind of address, and reads none of the body.
bool http_answers(const std::string& url, const std::stop_token& stop);

/// POSTs a JSON document; answers nothing when it was taken (2xx), else why not. For alerts.
std::string http_post(const std::string& url, const std::string& json, const std::stop_token& stop);

}  // namespace weir::pipeline
