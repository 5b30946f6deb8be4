#include "pairs/rows.hpp"

#include <algorithm>

namespace eplb::pairs {

void Rows::build(const Options& options, Index num_rows) {
  need_.assign(num_rows, 0);
  steps_.clear();
  first_step_.assign(1, 0);
  std::int64_t reach = 0;
  for (Index expert = 0; expert < options.num_experts(); ++expert) {
    reach = std::max(reach, add_expert(options, expert));
    first_step_.push_back(static_cast<std::int32_t>(steps_.size()));
  }
  // So far each entry holds how the need differs from that of the row before.
  for (Index row = 1; row < num_rows; ++row) need_[row] += need_[row - 1];
  list_tight(reach);
}

// An expert's steps; the largest term that it can have in any row.
//
// With a big option among those of a row the least is that of its largest big count; where all of
// the expert's replicas are in the row and are small, its fewest; else 0.
std::int64_t Rows::add_expert(const Options& options, Index expert) {
  const Index first = options.first[expert], end = options.first[expert + 1];
  const Index small = options.first_small(expert);
  const std::int64_t most = small < end ? options.count[end - 1] : 0;
  begin_ = 0;
  if (small > first) {
    for (Index option = small - 1; option >= first; --option) {
      add_step(options.rank[option], options.change[option]);
    }
  } else {
    add_step(options.rank[first], options.change[first]);
  }
  add_step(size(), 0);
  return small > first ? most + options.count[small - 1] : most;
}

void Rows::add_step(Index end, Index least) {
  if (end <= begin_) return;
  steps_.push_back({static_cast<std::int32_t>(end), static_cast<std::int32_t>(least)});
  need_[begin_] -= least;
  if (end < size()) need_[end] += least;
  begin_ = static_cast<std::int32_t>(end);
}

void Rows::list_tight(std::int64_t reach) {
  tight_.clear();
  for (Index row = 0; row < size(); ++row) {
    if (need_[row] > 0 && need_[row] < reach) tight_.push_back(static_cast<std::int32_t>(row));
  }
}

}  // namespace eplb::pairs
