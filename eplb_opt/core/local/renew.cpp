#include "local/renew.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace eplb::local {

namespace {

// Counts drawn for one renewal; the best greedy packing of them is the new plan.
constexpr int kDrawn = 16;
// Replicas at most so large are asked for: a share of the bound drawn from this one up, in 1/100.
constexpr std::int64_t kSmallestTarget = 60;
// Spare slots are given under one ceiling for up to so many turns, on average.
constexpr std::int64_t kMostPatience = 6;

// A replica size up to the target, small ones as likely as large ones.
std::int64_t draw_ceiling(std::int64_t target, Random& random) {
  const std::int64_t ceiling = target >> random.draw(6);
  return ceiling - ceiling * random.draw(50) / 100;
}

// Experts by descending replica size; equals keep the order that the last draw left them in.
void order_like_last(const Counts& counts, std::vector<Index>& order,
                     std::vector<Index>& position) {
  std::ranges::copy(counts.order(), order.begin());
  const std::span<const std::int64_t> piece = counts.pieces();
  for (auto first = order.begin(), last = first; first != order.end(); first = last) {
    last = std::find_if(first, order.end(), [&](Index e) { return piece[e] != piece[*first]; });
    std::ranges::sort(first, last, {}, [&](Index e) { return position[e]; });
  }
  for (Index i = 0; i < std::ssize(order); ++i) position[order[i]] = i;
}

}  // namespace

bool draw_counts(std::int64_t target, Random& random, Counts& counts) {
  const Index spare = counts.keep_below(target);
  std::int64_t ceiling = target;
  const std::int64_t patience = 1 + random.draw(kMostPatience);
  for (Index i = 0; i < spare; ++i) {
    if (random.draw(patience) == 0) ceiling = draw_ceiling(target, random);
    counts.give_spare(ceiling);
  }
  return spare >= 0;
}

bool renew(const Node& node, std::int64_t bound, Random& random, std::span<std::int64_t> slots) {
  Counts counts(node);
  Packing packing(node);
  std::vector<Index> order(node.num_experts()), position(node.num_experts());
  std::iota(position.begin(), position.end(), 0);
  std::int64_t best = Packing::kNoLimit;
  for (int i = 0; i < kDrawn; ++i) {
    const std::int64_t share = 100 - random.draw(101 - kSmallestTarget);
    const std::int64_t target = std::max<std::int64_t>(bound / 100 * share, 1);
    if (!draw_counts(target, random, counts)) continue;
    order_like_last(counts, order, position);
    if (!packing.pack(counts.counts(), counts.pieces(), order, best)) continue;
    best = packing.peak();
    std::ranges::copy(packing.slot, slots.begin());
  }
  return best != Packing::kNoLimit;
}

}  // namespace eplb::local
