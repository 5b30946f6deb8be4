#include "pairs/options.hpp"

namespace eplb::pairs {

void Options::select(const Options& all, std::span<const std::int32_t> kept) {
  first.assign(1, 0);
  count.clear();
  change.clear();
  rank.clear();
  Index expert = 0;
  for (const std::int32_t option : kept) {
    while (option >= all.first[expert + 1]) {
      first.push_back(static_cast<std::int32_t>(count.size()));
      ++expert;
    }
    count.push_back(all.count[option]);
    change.push_back(all.change[option]);
    rank.push_back(all.rank[option]);
  }
  first.push_back(static_cast<std::int32_t>(count.size()));
}

}  // namespace eplb::pairs
