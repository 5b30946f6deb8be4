// The configuration LP of one target load after the other, by column generation.
//
// For a target load T the LP asks for the fewest GPUs, fractions allowed, whose patterns cover every
// expert; more than there are prove that no plan stays at T. Columns are made where dual values call
// for them (Gilmore and Gomory, "A linear programming approach to the cutting-stock problem", 1961).
// Duals that no pattern outweighs prove a bound at once, before the LP is optimal: their sum over the
// heaviest pattern's weight (Farley, "A note on bounding a class of linear programming
// problems, including cutting stock problems", 1990). Duals jump about, so that patterns are priced
// between them and the best ones so far (Wentges, "Weighted Dantzig-Wolfe decomposition for linear
// mixed-integer programming", 1997).
#pragma once

#include <optional>
#include <vector>

#include "common/clock.hpp"
#include "config_lp/master.hpp"
#include "config_lp/pricing.hpp"

namespace eplb::config_lp {

enum class Verdict { kFeasible, kInfeasible, kOpen };

// What one decision may spend; no more rounds of pricing, and none that may not end in time.
struct Limit {
  Deadline deadline;
  Index rounds;
};

// How the LP divides the experts among their counts: how much of each expert it takes with each.
struct Division {
  std::vector<double> level;  // [num_experts, num_counts]
  Index num_counts;           // 0 and the largest one among them
};

// Decides whether the LP is feasible at a load; keeps columns, basis and duals in between.
class ColumnGeneration {
 public:
  // `start` is a plan [num_slots], whose GPUs are the first columns, or empty.
  ColumnGeneration(FlatNode node, std::vector<Index> start);

  // Whether fractions of patterns of at most `target` fit the GPUs. What is not feasible leaves the
  // best dual values in `centre`. Values to begin with are those of another target, or empty.
  Verdict decide(double target, Window window, std::span<const double> last, const Limit& limit);

  Division division() const;

  const FlatNode& node() const { return node_; }
  std::span<const double> centre() const { return centre_; }
  Index rounds() const { return rounds_; }

 private:
  bool is_over(const Limit& limit, Index rounds_before) const;
  std::optional<Verdict> round(const Pricer& pricer);
  Master& ready_master(const Pricer& pricer);
  Master first_master(const Pricer& pricer) const;
  void recentre(const Pricer& pricer, std::span<const double> last);
  void consider(std::span<const double> value, double heaviest);
  bool add_columns(const Pricer& pricer);
  bool add_spread(const Completions& priced, std::span<const double> dual);

  FlatNode node_;
  std::vector<Index> start_;
  std::optional<Master> master_;
  std::vector<double> centre_;  // the dual values of the best bound at the last target
  double best_ = 0.0;           // that bound, in GPUs
  Index rounds_ = 0;
  std::int64_t slowest_ns_ = 0;  // of all rounds
};

}  // namespace eplb::config_lp
