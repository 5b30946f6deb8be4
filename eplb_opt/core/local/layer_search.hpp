// The search on one layer: which of its nodes is worth the next steps, until the time is up.
#pragma once

#include <deque>

#include "local/node_search.hpp"

namespace eplb::local {

class LayerSearch {
 public:
  // A largest load at or below the target ends the search.
  explicit LayerSearch(std::int64_t target) : target_(target) {}
  LayerSearch(const LayerSearch&) = delete;
  LayerSearch& operator=(const LayerSearch&) = delete;

  void add_node(Node node, Experts slots, std::int64_t seed);

  // Search for a number of steps, or until done.
  void run_steps(Index steps);

  // Search until the deadline, or until done; at least one step.
  //
  // A first call ends at the first local optimum: other layers need theirs more than this one needs
  // other counts, which the next call begins with.
  void run_until(const Deadline& deadline);

  // The largest load of the best plan.
  std::int64_t best() const { return nodes_[worst()].best(); }
  // Whether the plan is as close to the bound as is of use.
  bool is_done() const { return best() <= target_; }
  // Whether the heaviest node has been at a local optimum.
  bool is_polished() const { return polished_[worst()]; }

  Index num_nodes() const { return std::ssize(nodes_); }
  const NodeSearch& node(Index node_idx) const { return nodes_[node_idx]; }

 private:
  Index worst() const;
  Index take(Index steps, const Deadline& deadline);
  void scan_due(const Deadline& deadline);

  std::deque<NodeSearch> nodes_;  // they stay where they are: a plan points to its node
  std::vector<char> polished_;    // of each node, whether it has been at a local optimum
  std::vector<Index> due_;        // nodes that have just been at one: other counts are to be tried
  std::int64_t target_;
};

}  // namespace eplb::local
