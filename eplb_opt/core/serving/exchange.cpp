#include "serving/exchange.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "common/wide.hpp"

namespace eplb::serving {

namespace {

// Above twice any GPU load in 32 bits, and no sum with it overflows.
constexpr std::int32_t kFar = 1 << 30;
// Bits of the largest GPU load in 32-bit integers, one less than sums of five need: a kick may
// double a load. What overflows all the same chooses a bad exchange, which is then refused.
constexpr int kDigits = 27;
// Exchanges of two for two that one step may look at.
constexpr Index kMostExchanges = 100'000;
// Candidates are looked at in whole vectors, and so many rows of what is given at once.
constexpr Index kVector = 16, kRows = 4;
// Candidates among which the one that was found is looked up.
constexpr Index kStretch = 64;

Index padded(Index number) { return (number + kVector - 1) / kVector * kVector; }

// Sums that wrap around.
inline std::int32_t add(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}
inline std::int32_t subtract(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}

// Twice the larger load of the two GPUs after an exchange.
inline std::int32_t larger(std::int32_t together, std::int32_t apart, std::int32_t given) {
  const std::int32_t difference = subtract(apart, given);
  return add(together, std::max(difference, subtract(0, difference)));
}

struct Candidates {
  const std::int32_t *apart, *together;
  Index count;  // a multiple of kVector
};

// The least value of kRows rows.
EPLB_WIDE void least_of_rows(const Candidates& taken, const std::int32_t* given,
                             std::int32_t* least) {
  std::int32_t a = least[0], b = least[1], c = least[2], d = least[3];
  const std::int32_t *apart = taken.apart, *together = taken.together;
  for (Index i = 0; i < taken.count; ++i) {
    a = std::min(a, larger(together[i], apart[i], given[0]));
    b = std::min(b, larger(together[i], apart[i], given[1]));
    c = std::min(c, larger(together[i], apart[i], given[2]));
    d = std::min(d, larger(together[i], apart[i], given[3]));
  }
  least[0] = a, least[1] = b, least[2] = c, least[3] = d;
}

// The first candidate with the value; there is one.
EPLB_WIDE Index where(const Candidates& taken, std::int32_t given, std::int32_t value) {
  Index first = 0;
  for (; first < taken.count; first += kStretch) {
    const Index end = std::min(first + kStretch, taken.count);
    bool is_here = false;
    for (Index i = first; i < end; ++i) {
      is_here |= larger(taken.together[i], taken.apart[i], given) == value;
    }
    if (is_here) break;
  }
  while (larger(taken.together[first], taken.apart[first], given) != value) ++first;
  return first;
}

}  // namespace

std::vector<SlotPair> pairs_of_slots(const NodeShape& shape) {
  std::vector<SlotPair> all, chosen;
  if (shape.slots_per_gpu() <= 3) return all;
  const Index num_places = shape.slots_per_gpu(), step = shape.num_gpus;
  for (Index a = 0; a < num_places; ++a) {
    for (Index b = a + 1; b < num_places; ++b) all.push_back({a * step, b * step});
  }
  const double share = static_cast<double>(kMostExchanges) / static_cast<double>(step);
  const Index found = std::ssize(all), most = std::max<Index>(static_cast<Index>(std::sqrt(share)), 1);
  if (found <= most) return all;
  for (Index i = 0; i < most; ++i) chosen.push_back(all[i * found / most]);
  return chosen;
}

int dropped_bits(std::int64_t peak) {
  int dropped = 1;
  while (peak >> dropped >= std::int64_t{1} << kDigits) ++dropped;
  return dropped;
}

Exchange::Exchange(const NodeShape& shape)
    : pairs_(pairs_of_slots(shape)),
      twice_(shape.num_slots),
      below_(shape.num_gpus),
      both_(shape.num_gpus),
      given_(padded(std::max(shape.slots_per_gpu(), std::ssize(pairs_)))),
      apart_(padded(std::max(shape.num_slots, std::ssize(pairs_) * shape.num_gpus))),
      together_(apart_.size()) {}

void Exchange::narrow(const Plan& plan, int dropped) {
  heavy_ = plan.heaviest();
  peak_ = plan.load[heavy_];
  for (Index p = 0; p < plan.num_slots(); ++p) {
    twice_[p] = static_cast<std::int32_t>(plan.size[p] >> (dropped - 1));  // half of it, twice
  }
  for (Index gpu = 0; gpu < plan.num_gpus(); ++gpu) {
    below_[gpu] = static_cast<std::int32_t>((peak_ - plan.load[gpu]) >> dropped);
    both_[gpu] = static_cast<std::int32_t>((peak_ + plan.load[gpu]) >> dropped);
  }
  both_[heavy_] = kFar;
}

// Ties do not depend on the width of vectors: which candidate it was is looked up afterwards.
Exchange::Found Exchange::closest(Index num_given, Index num_taken, std::int64_t target,
                                  int dropped) {
  const auto ceiling = static_cast<std::int32_t>(2 * (peak_ >> dropped));
  const auto enough = static_cast<std::int32_t>((peak_ + target) >> dropped);
  const Candidates taken{apart_.data(), together_.data(), padded(num_taken)};
  std::fill(apart_.begin() + num_taken, apart_.begin() + taken.count, 0);
  std::fill(together_.begin() + num_taken, together_.begin() + taken.count, kFar);
  std::int32_t best = ceiling;
  Index row = -1;
  for (Index first = 0; first < num_given && (row < 0 || best > enough); first += kRows) {
    std::int32_t least[kRows];
    std::ranges::fill(least, ceiling);
    least_of_rows(taken, given_.data() + first, least);
    for (Index i = 0; i < std::min(kRows, num_given - first); ++i) {
      if (least[i] >= best) continue;
      best = least[i];
      row = first + i;
      if (best <= enough) break;
    }
  }
  return row < 0 ? Found{-1, -1} : Found{row, where(taken, given_[row], best)};
}

bool Exchange::one_for_one(const Plan& plan, std::int64_t target, int dropped) {
  narrow(plan, dropped);
  const Index num_slots = plan.num_slots(), num_gpus = plan.num_gpus();
  for (Index k = 0; k < num_slots; k += num_gpus) {
    given_[k / num_gpus] = twice_[k + heavy_];
    for (Index gpu = 0; gpu < num_gpus; ++gpu) {
      apart_[k + gpu] = add(twice_[k + gpu], below_[gpu]);
      together_[k + gpu] = both_[gpu];
    }
  }
  const auto [given, q] = closest(num_slots / num_gpus, num_slots, target, dropped);
  if (given < 0) return false;
  const Index p = given * num_gpus + heavy_;
  const std::int64_t moved = plan.size[p] - plan.size[q];
  if (moved <= 0 || plan.load[plan.gpu_of(q)] + moved >= peak_) return false;
  plan.swap(p, q);
  return true;
}

bool Exchange::two_for_two(const Plan& plan, std::int64_t target, int dropped) {
  const Index num_pairs = std::ssize(pairs_), num_gpus = plan.num_gpus();
  for (Index i = 0; i < num_pairs; ++i) {
    const auto [a, b] = pairs_[i];
    given_[i] = add(twice_[a + heavy_], twice_[b + heavy_]);
    for (Index gpu = 0; gpu < num_gpus; ++gpu) {
      apart_[i * num_gpus + gpu] = add(add(twice_[a + gpu], twice_[b + gpu]), below_[gpu]);
      together_[i * num_gpus + gpu] = both_[gpu];
    }
  }
  const auto [given, taken] = closest(num_pairs, num_pairs * num_gpus, target, dropped);
  if (given < 0) return false;
  const Index other = taken % num_gpus;
  const SlotPair mine = pairs_[given], theirs = pairs_[taken / num_gpus];
  const Index a = mine.first + heavy_, b = mine.second + heavy_;
  const Index c = theirs.first + other, d = theirs.second + other;
  const std::int64_t moved = plan.size[a] + plan.size[b] - plan.size[c] - plan.size[d];
  if (moved <= 0 || plan.load[other] + moved >= peak_) return false;
  plan.swap(a, c);
  plan.swap(b, d);
  return true;
}

}  // namespace eplb::serving
