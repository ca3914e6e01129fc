#pragma once

namespace weir {

enum class Delivery {
  leased,         ///< at least once; the handler's effects may be anywhere
  transactional,  ///< exactly once, for what the handler writes by its transaction()
};

}  // namespace weir
