#include "near/water.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace eplb::near {

namespace {

struct Share {
  std::int64_t weight;
  std::int64_t count;

  // By products: quotients of integers would be rounded.
  bool operator<(const Share& other) const { return weight * other.count < other.weight * count; }
};

}  // namespace

std::int32_t largest_replica(std::span<const std::int32_t> weight, Index num_slots) {
  std::vector<Share> shares;
  for (const std::int32_t load : weight) shares.push_back({load, 1});
  std::ranges::make_heap(shares, std::less<>());
  for (Index spare = num_slots - std::ssize(weight); spare > 0; --spare) {
    std::ranges::pop_heap(shares, std::less<>());
    ++shares.back().count;
    std::ranges::push_heap(shares, std::less<>());
  }
  return static_cast<std::int32_t>(shares.front().weight / shares.front().count);
}

std::int32_t lower_bound(std::span<const std::int32_t> weight, Index num_slots, Index num_gpus) {
  const std::int64_t total = std::accumulate(weight.begin(), weight.end(), std::int64_t{0});
  const std::int64_t mean = total / num_gpus;
  Index spare = num_slots - std::ssize(weight);
  // Where the spare slots keep every replica at the mean, that is the larger of the two.
  Index needed = 0;
  for (const std::int64_t load : weight) {
    if (load > mean) needed += mean > 0 ? (load - 1) / mean : num_slots;
  }
  if (needed <= spare) return static_cast<std::int32_t>(mean);
  return std::max(static_cast<std::int32_t>(mean), largest_replica(weight, num_slots));
}

}  // namespace eplb::near
