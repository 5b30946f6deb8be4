// Local search on the replica counts, as a source of plans.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "pairs/replicas.hpp"

namespace eplb::pairs {

// Counts between which an expert's are looked for.
struct CountLimits {
  std::span<const std::int64_t> lowest, highest;  // [num_experts]
};

// What is wanted of the largest pair: a share of the way from a bound up to the best so far.
struct Aim {
  double bound, share;

  double level(double best) const { return bound + share * (best - bound); }
};

// Takes a replica from one expert and gives it to another, move after move.
//
// Moves are rated by what the pairs exceed a wanted level by, all together: the largest load alone
// hardly ever tells one move from another. The best move is taken even where it is a worse plan, and
// its experts then rest for some moves (tabu search; Glover, 1989). Each move looks at a part of the
// experts, the parts by turns: with hundreds of experts many quick moves come further than few
// thorough ones. The wanted level follows the best plan down, so that there is always something to
// gain that is not out of reach.
class CountSearch {
 public:
  // `counts` add up to `num_slots`; `load` is kept as a view.
  CountSearch(std::span<const double> load, std::span<const std::int64_t> counts, Index num_slots);

  // Moves, aimed at a share of the way from a bound up to the best plan, until that is met, the
  // moves are done or the deadline is over. All experts looked at once count as one move.
  void run(const CountLimits& limits, Aim aim, Index moves, const Deadline& deadline);

  std::span<const std::int64_t> best_counts() const { return best_counts_; }
  double best() const { return best_; }

 private:
  // The best experts to give, or to take, by themselves; the best first.
  class Shortlist {
   public:
    void clear() { size_ = 0; }
    void offer(double value, Index expert);
    std::span<const Index> experts() const { return {expert_.data(), size_}; }

   private:
    static constexpr std::size_t kSize = 10;
    std::array<double, kSize> value_;
    std::array<Index, kSize> expert_;
    std::size_t size_ = 0;
  };

  void shortlist(const CountLimits& limits, double level);
  Move best_move(double level);
  void make(Move move);

  std::vector<std::int64_t> counts_, best_counts_, rests_until_;
  SortedReplicas replicas_;
  Shortlist givers_, takers_;
  double best_;
  Index number_ = 0, num_parts_;
};

}  // namespace eplb::pairs
