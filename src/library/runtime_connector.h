#pragma once

#include <memory>
#include <string_view>

#include <weir/delivery.h>

#include "pg/connector.h"

namespace weir {

/// For a runtime that works in the mode. In a transaction of the runtime's the handler's statements run on
/// its own sessions, so these find names as their user is used to.
inline std::shared_ptr<const pg::Connector> runtime_connector(std::string_view url, Delivery delivery) {
  return std::make_shared<const pg::Connector>(
      pg::Conninfo::parse(url),
      pg::Connector::Options{.users_search_path = delivery == Delivery::transactional});
}

}  // namespace weir
