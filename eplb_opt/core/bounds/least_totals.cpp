#include "bounds/least_totals.hpp"

#include <algorithm>
#include <vector>

namespace eplb::bounds {

std::int64_t least_total(Table<const std::int64_t> costs) {
  const Index width = costs.columns();
  if (width == 0) return costs.rows() ? kNever : 0;
  std::vector<std::int64_t> before(static_cast<std::size_t>(width), kNever), now(before);
  before[0] = 0;
  for (Index expert = 0; expert < costs.rows(); ++expert) {
    std::fill(now.begin(), now.end(), kNever);
    for (Index taken = 0; taken < width; ++taken) {
      const std::int64_t own = costs(expert, taken);
      const std::int64_t* from = before.data();
      std::int64_t* to = now.data() + taken;
      // No sum of two is beyond 64 bits, as neither is above kNever.
      for (Index j = 0; j < width - taken; ++j) to[j] = std::min(to[j], from[j] + own);
    }
    before.swap(now);
  }
  return before.back();
}

}  // namespace eplb::bounds
