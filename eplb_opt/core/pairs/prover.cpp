#include "pairs/prover.hpp"

#include <algorithm>
#include <cmath>

namespace eplb::pairs {

void round_prices(std::span<const double> running, std::span<const std::int64_t> need,
                  std::span<std::int64_t> price) {
  for (std::size_t row = 0; row < need.size(); ++row) {
    const double exact = need[row] > 0 ? running[row + 1] - running[row] : 0.0;
    price[row] = static_cast<std::int64_t>(std::nearbyint(exact * kDigits));
  }
}

std::int64_t Prover::prove(const Options& options, const Rows& rows,
                           std::span<const std::int64_t> price, std::span<std::int64_t> excess) {
  running_.assign(1, 0);
  for (const std::int64_t of_row : price) running_.push_back(running_.back() + of_row);
  cutting_.clear();
  for (const std::int32_t row : rows.tight()) {
    if (price[row] != 0) cutting_.push_back(row);
  }
  std::int64_t value = 0;
  for (Index expert = 0; expert < options.num_experts(); ++expert) {
    const Index first = options.first[expert], end = options.first[expert + 1];
    for (Index option = first; option < end; ++option) {
      excess[option] =
          options.count[option] * kDigits - options.change[option] * running_[options.rank[option]];
    }
    const std::span<std::int64_t> cost = excess.subspan(first, end - first);
    if (!cutting_.empty()) add_cuts(options, rows, expert, price, cost);
    const std::int64_t cheapest = *std::ranges::min_element(cost);
    for (std::int64_t& of_option : cost) of_option -= cheapest;
    value += cheapest;
  }
  return value;
}

// Add what the cuts take: price times (change - cut) where that is positive, with 0 for the change
// where the option's replicas are not in the row.
void Prover::add_cuts(const Options& options, const Rows& rows, Index expert,
                      std::span<const std::int64_t> price, std::span<std::int64_t> cost) {
  const Index first = options.first[expert], small = options.first_small(expert);
  const Index num_small = options.first[expert + 1] - small;
  const std::int32_t* count = options.count.data() + small;
  const std::int32_t* rank = options.rank.data() + small;
  const std::int64_t most = num_small > 0 ? count[num_small - 1] : 0;
  begins_.assign(num_small + 1, {0, 0});
  std::int64_t on_all = 0;  // small options
  Index in_row = 0;
  Rows::Walk walk(rows, expert);
  for (const std::int32_t row : cutting_) {
    const std::int64_t cut = walk.cut_at(row);
    if (cut >= most) continue;
    while (in_row < num_small && rank[in_row] <= row) ++in_row;
    Index above_cut = num_small;
    if (num_small > 0) above_cut = std::clamp<Index>(cut + 1 - count[0], 0, num_small);
    while (above_cut > 0 && count[above_cut - 1] > cut) --above_cut;
    Cut& begin = begins_[std::max(in_row, above_cut)];
    begin.price += price[row];
    begin.priced_cut += price[row] * std::max<std::int64_t>(cut, 0);
    if (cut >= 0) continue;
    on_all -= price[row] * cut;
    for (Index option = first; option < small; ++option) {
      const std::int64_t change = options.rank[option] > row ? options.change[option] : 0;
      cost[option - first] += price[row] * std::max<std::int64_t>(change - cut, 0);
    }
  }
  Cut active{0, 0};
  for (Index k = 0; k < num_small; ++k) {
    active.price += begins_[k].price;
    active.priced_cut += begins_[k].priced_cut;
    cost[small - first + k] += on_all + active.price * count[k] - active.priced_cut;
  }
}

}  // namespace eplb::pairs
