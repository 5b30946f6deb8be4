#include "pairs/moves.hpp"

#include <algorithm>
#include <limits>

namespace eplb::pairs {

namespace {

// An expert rests for so many moves, and a few more in turn.
constexpr Index kRest = 4, kRestTurns = 7;
// Experts of a part.
constexpr Index kPartSize = 64;

}  // namespace

CountSearch::CountSearch(std::span<const double> load, std::span<const std::int64_t> counts,
                         Index num_slots)
    : counts_(counts.begin(), counts.end()),
      best_counts_(counts_),
      rests_until_(counts.size(), 0),
      replicas_(load, num_slots),
      num_parts_(std::max<Index>(std::ssize(counts) / kPartSize, 1)) {
  replicas_.sort(counts_);
  best_ = replicas_.rate({}, 0.0).largest;
}

void CountSearch::run(const CountLimits& limits, Aim aim, Index moves, const Deadline& deadline) {
  for (Index done = 0; done / num_parts_ < moves && best_ > aim.bound && !deadline.expired();
       ++done) {
    ++number_;
    const double level = aim.level(best_);
    shortlist(limits, level);
    const Move move = best_move(level);
    if (move.giver >= 0) make(move);
  }
}

void CountSearch::Shortlist::offer(double value, Index expert) {
  if (size_ == kSize) {
    if (value >= value_[size_ - 1]) return;
    --size_;
  }
  std::size_t at = size_;
  for (; at > 0 && value_[at - 1] > value; --at) {
    value_[at] = value_[at - 1];
    expert_[at] = expert_[at - 1];
  }
  value_[at] = value;
  expert_[at] = expert;
  ++size_;
}

void CountSearch::shortlist(const CountLimits& limits, double level) {
  givers_.clear();
  takers_.clear();
  for (Index expert = number_ % num_parts_; expert < std::ssize(counts_); expert += num_parts_) {
    if (rests_until_[expert] >= number_) continue;
    if (counts_[expert] > std::max<std::int64_t>(limits.lowest[expert], 1)) {
      givers_.offer(replicas_.rate({expert, -1}, level).above, expert);
    }
    if (counts_[expert] < limits.highest[expert]) {
      takers_.offer(replicas_.rate({-1, expert}, level).above, expert);
    }
  }
}

Move CountSearch::best_move(double level) {
  Move chosen;
  double least = std::numeric_limits<double>::infinity();
  for (const Index giver : givers_.experts()) {
    for (const Index taker : takers_.experts()) {
      if (giver == taker) continue;
      const Worth worth = replicas_.rate({giver, taker}, level);
      if (worth.above < least) {
        least = worth.above;
        chosen = {giver, taker};
      }
      if (worth.largest < best_) {
        best_ = worth.largest;
        best_counts_ = counts_;
        --best_counts_[giver];
        ++best_counts_[taker];
      }
    }
  }
  return chosen;
}

void CountSearch::make(Move move) {
  --counts_[move.giver];
  ++counts_[move.taker];
  rests_until_[move.giver] = rests_until_[move.taker] = number_ + kRest + number_ % kRestTurns;
  replicas_.sort(counts_);
}

}  // namespace eplb::pairs
