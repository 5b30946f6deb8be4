#include "local/deals.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace eplb::local {

namespace {

// All hands of a size out of the first `num` replicas, each one exchange away from its neighbours.
std::vector<Hand> revolving_door(Index num, Index size) {
  if (size == 0) return {0};
  if (size == num) return {(Hand{1} << num) - 1};
  std::vector<Hand> hands = revolving_door(num - 1, size);
  std::vector<Hand> with_last = revolving_door(num - 1, size - 1);
  std::ranges::reverse(with_last);
  for (const Hand hand : with_last) hands.push_back(hand | Hand{1} << (num - 1));
  return hands;
}

// Whether the places of a hand come before those of another, compared one by one.
bool precedes(Hand hand, Hand other) {
  const Hand different = hand ^ other;
  return hand & different & (~different + 1);
}

}  // namespace

Deals::Deals(Index k) {
  if (k < 2 || k > kMaxSlots) return;
  rank_.resize(std::size_t{1} << (3 * k - 1));
  std::uint16_t rank = 0;
  for (const Hand others : revolving_door(3 * k - 1, k - 1)) rank_[others] = rank++;
  for (Hand hand = 1; hand < Hand{1} << (2 * k); hand += 2) {
    if (std::popcount(hand) == k) of_two_.push_back(hand);
  }
  std::ranges::sort(of_two_, precedes);
}

const Deals& Deals::of(Index slots_per_gpu) {
  static const std::array<Deals, kMaxSlots + 2> all = {Deals(0), Deals(1), Deals(2), Deals(3),
                                                       Deals(4), Deals(5), Deals(6)};
  return all[std::min(slots_per_gpu, kMaxSlots + 1)];
}

}  // namespace eplb::local
