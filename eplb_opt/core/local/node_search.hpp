// The search on one node, or on a flat layer: polish, re-partition, kick, and keep the best plan.
#pragma once

#include "common/clock.hpp"
#include "common/random.hpp"
#include "local/exchange.hpp"
#include "local/plan.hpp"
#include "local/redeal.hpp"

namespace eplb::local {

// What is asked of a search.
struct Goal {
  std::int64_t target;  // a largest load at or below it ends the search
  // Whether to stop where no exchange helps, before re-partitions and kicks.
  bool only_exchange = false;
};

// One search: its plan, its best plan, and all that a later call needs to go on as if there had been
// one call.
class NodeSearch {
 public:
  NodeSearch(Node node, Experts slots, std::int64_t seed);
  NodeSearch(const NodeSearch&) = delete;
  NodeSearch& operator=(const NodeSearch&) = delete;

  struct Taken {
    Index steps;
    bool stopped;  // by itself: at the target, or where no exchange helps
  };

  // Take steps; each is one improvement or one kick. Any split of the steps over calls gives the
  // same plan. At least one is taken before the deadline is looked at.
  Taken advance(Index steps, const Goal& goal, const Deadline& deadline);

  // Go on from another plan; the best one is kept.
  void restart(Experts slots);

  // Try other counts, and go on from the best plan; what there was no time for is left to the next
  // call. Returns whether all were tried.
  bool scan(std::int64_t target, const Deadline& deadline);

  const Node& node() const { return node_; }
  Plan& plan() { return plan_; }
  Random& random() { return random_; }
  Experts best_slots() const { return best_slots_; }
  // The largest load of the best plan.
  std::int64_t best() const { return best_; }

  // The subsets of a GPU's replicas, in order.
  const SortedSubsets& sorted_subsets(Index gpu);
  // Make the best exchange with a GPU; returns the other GPU, or -1 where none lowers its load.
  Index exchange(Index heavy);

 private:
  bool step(const Goal& goal);
  void settle(std::int64_t target);
  void go_back(std::int64_t target);
  void kick();
  bool is_wide(std::int64_t target) const;
  bool is_promising(std::int64_t reached, std::int64_t target) const;

  Node node_;
  Plan plan_;
  std::vector<std::int64_t> best_slots_;
  std::vector<std::vector<std::int64_t>> to_try_;  // plans of the scan, the most promising last
  bool is_scanned_ = false;                        // whether they have been made
  std::int64_t best_;
  Index failures_ = 0;  // kicks in a row without a better plan
  Random random_;
  SortedSubsets sorted_;
  const Deals& deals_;
};

}  // namespace eplb::local
