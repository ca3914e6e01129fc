#include "pipeline/task/http_probe.h"

#include <memory>

#include <curl/curl.h>
#include <fmt/format.h>

#include "base/error.h"

namespace weir::pipeline {
namespace {

constexpr long kConnectSeconds = 5;
constexpr Duration kProbeLimit = std::chrono::seconds(15);

struct Answer {
  CURLcode code = CURLE_OK;
  long status = 0;
};

std::size_t drop(const char* /*bytes*/, std::size_t size, std::size_t count, void* /*user*/) {
  return size * count;
}

int stop_if_asked(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}

Answer request(const std::string& url, const std::string* json, Duration limit, const std::stop_token& stop) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  if (ready != CURLE_OK || !curl) throw Error(ExitCode::failed, "HTTP is not available here");
  // NOLINTBEGIN(cppcoreguidelines-pro-type-vararg): this is how libcurl is told anything
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(limit / std::chrono::milliseconds(1)));
  // Some refuse whoever does not say who he is.
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "weir");
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &drop);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, &stop_if_asked);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &stop);
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, &curl_slist_free_all);
  if (json != nullptr) {
    headers.reset(curl_slist_append(nullptr, "Content-Type: application/json"));
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, json->c_str());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(json->size()));
  }
  Answer answer{.code = curl_easy_perform(curl.get())};
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  // NOLINTEND(cppcoreguidelines-pro-type-vararg)
  return answer;
}

bool is_good(const Answer& answer) {
  return answer.code == CURLE_OK && answer.status >= 200 && answer.status < 300;
}

void check_url(const std::string& url) {
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    throw Error(ExitCode::failed, "an address has to begin with http:// or https://");
}

}  // namespace

bool http_answers(const std::string& url, const std::stop_token& stop) {
  check_url(url);
  return is_good(request(url, nullptr, kProbeLimit, stop));
}

std::string http_post(const std::string& url, const std::string& json, Duration limit,
                      const std::stop_token& stop) {
  check_url(url);
  const Answer answer = request(url, &json, limit, stop);
  if (is_good(answer)) return {};
  if (answer.code != CURLE_OK) return curl_easy_strerror(answer.code);
  return fmt::format("the answer was {}", answer.status);
}

}  // namespace weir::pipeline
