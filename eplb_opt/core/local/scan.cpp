#include "local/scan.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "local/packing.hpp"

namespace eplb::local {

namespace {

// Targets of the counts between the water level and just above the bound: how many, how far above.
constexpr int kLevels = 32;
constexpr double kAbove = 1.02;
// Spare slots go to the largest replica below this share of the target (in 1/100; 100 is any).
constexpr std::array<std::int64_t, 6> kCeilings = {3, 5, 10, 15, 34, 100};

// The slots that the level takes when every replica is at or below it, or, where `strictly`, below.
Index slots_needed(const Node& node, std::int64_t level, bool strictly) {
  Index needed = 0;
  for (const std::int64_t weight : node.weight) {
    const std::int64_t replicas = strictly ? weight / level + 1 : (weight + level - 1) / level;
    needed += std::max<std::int64_t>(replicas, 1);
  }
  return needed;
}

double power(double base, int exponent) {
  double product = 1.0;
  for (int i = 0; i < exponent; ++i) product *= base;
  return product;
}

// The root of a ratio of at least 1 by Newton's method, from above.
//
// std::pow is rounded differently by different libraries; this has the same bytes everywhere.
double root(double ratio, int degree) {
  double guess = 1.0 + (ratio - 1.0) / degree;
  for (;;) {
    const double next =
        guess - (guess - ratio / power(guess, degree - 1)) / static_cast<double>(degree);
    if (next >= guess) return guess;
    guess = next;
  }
}

// Levels in even ratios from one to another, both included.
std::vector<std::int64_t> even_ratios(double first, double last) {
  std::vector<std::int64_t> levels = {static_cast<std::int64_t>(first)};
  const double step = root(last / first, kLevels - 1);
  for (int i = 1; i < kLevels - 1; ++i) {
    levels.push_back(static_cast<std::int64_t>(first * power(step, i)));
  }
  levels.push_back(static_cast<std::int64_t>(last));
  return levels;
}

// The best packings so far, the best first; of equals the first found comes first.
class Ranking {
 public:
  explicit Ranking(std::size_t keep) : keep_(keep) {}

  // A packing has to stay below it to come in.
  std::int64_t limit() const {
    return peaks_.size() < keep_ ? Packing::kNoLimit : keep_ ? peaks_.back() : 0;
  }

  void add(std::int64_t peak, const std::vector<std::int64_t>& slots) {
    const auto place = std::ranges::upper_bound(peaks_, peak) - peaks_.begin();
    peaks_.insert(peaks_.begin() + place, peak);
    plans_.insert(plans_.begin() + place, slots);
    if (peaks_.size() <= keep_) return;
    peaks_.pop_back();
    plans_.pop_back();
  }

  std::vector<std::vector<std::int64_t>> plans() && { return std::move(plans_); }

 private:
  std::size_t keep_;
  std::vector<std::int64_t> peaks_;
  std::vector<std::vector<std::int64_t>> plans_;
};

}  // namespace

std::int64_t water_level(const Node& node) {
  std::int64_t low = 0, high = std::max<std::int64_t>(std::ranges::max(node.weight), 1);
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (slots_needed(node, middle, false) <= node.num_slots() ? high : low) = middle;
  }
  // The level lies in (high - 1, high]; it is `high` itself where nothing below is enough.
  return slots_needed(node, high, true) <= node.num_slots() ? high - 1 : high;
}

std::vector<std::vector<std::int64_t>> scan_counts(const Node& node, std::int64_t bound,
                                                   std::size_t keep) {
  const std::int64_t lowest = water_level(node) + 1;
  const double highest = static_cast<double>(std::max(bound, lowest)) * kAbove;
  std::set<std::vector<std::int64_t>> seen;
  Ranking best(keep);
  Packing packing(node);
  Counts fewest(node), counts(node);
  for (const std::int64_t target : even_ratios(static_cast<double>(lowest), highest)) {
    const Index spare = fewest.keep_below(target);
    if (spare < 0) continue;
    for (const std::int64_t ceiling : kCeilings) {
      counts = fewest;
      for (Index i = 0; i < spare; ++i) counts.give_spare(target * ceiling / 100);
      if (node.apart && std::ranges::max(counts.counts()) > node.num_gpus) continue;
      if (!seen.emplace(counts.counts().begin(), counts.counts().end()).second) continue;
      if (!packing.pack(counts.counts(), counts.pieces(), counts.order(), best.limit())) continue;
      best.add(packing.peak(), packing.slot);
    }
  }
  return std::move(best).plans();
}

}  // namespace eplb::local
