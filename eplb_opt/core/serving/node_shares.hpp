// How many replicas of each expert stand on each node, for node loads that are level enough for a
// price on what is served away from home.
#pragma once

#include <span>
#include <vector>

#include "serving/locality.hpp"

namespace eplb::serving {

// Replicas of one layer's experts on nodes; it serves one layer after the other. Every expert begins
// with one at home, and what is left of a node's slots goes to the largest replicas on it. Then
// replicas that are too large for one GPU, and nodes that are too heavy, give to the others, by the
// change that costs least.
//
// Loads are float64, in the unit of the weights, and made in one order: every machine gets the same.
class NodeShares {
 public:
  explicit NodeShares(const Locality& locality);

  // `weight` are the experts' loads in fixed point, `homes` the groups' nodes.
  void plan(std::span<const std::int64_t> weight, std::span<const Index> homes);

  Index on(Index expert, Index node) const { return on_[expert * locality_.num_nodes + node]; }
  double size(Index expert) const { return size_[expert]; }
  std::span<const std::int32_t> members(Index node) const {
    return std::span(members_).subspan(node * locality_.slots_per_node(), num_members_[node]);
  }

 private:
  // A change between two nodes: one expert gets a slot in the place of another.
  struct Change {
    double worth = 0.0;  // less cost; below 0 where it helps
    Index expert = -1, from = -1, to = -1, other = -1;
    bool is_copy = false;  // a further replica; else the two change places
  };
  // What a node can give a slot of.
  struct Offer {
    Index spare = -1;  // an expert that needs one replica less
    // The lightest to change places with, and the lightest that is not at home.
    Index lightest[2] = {-1, -1};
  };

  void begin(std::span<const std::int64_t> weight, std::span<const Index> homes);
  void place_at_home();
  void place_groups();
  void place_first(Index expert, Index node);
  void fill(Index node);
  void set_limit();
  void split_large();
  bool split(Index expert);
  void set_level();
  void shed();
  bool shed_from(Index node);
  void look_at_copy(Index expert, Index from, Index to, Index spare, Change& best) const;
  void look_at_swaps(Index from, Index to, Index other, Change& best) const;
  void look_at_copies(Index from, Index to, Index spare, Change& best) const;
  void make(const Change& change);
  Index roomiest() const;
  Offer offer_of(Index node, Index taker) const;
  Index spare_of(Index node, Index taker) const;

  void add(Index expert, Index node);
  void take(Index expert, Index node);
  void change(Index expert, Index node, Index more);

  double part(Index expert, Index count) const { return weight_[expert] * one_over_[count]; }
  double beyond(Index node) const { return load_[node] - level_ * gpus_[node]; }
  double rise(Index node, double more) const;
  double away(Index expert, Index more, Index at_home) const;

  const Locality locality_;
  const Grid grid_;
  std::vector<double> one_over_;  // of numbers of replicas
  std::vector<double> gpus_;      // of nodes
  // What the largest load rises by, in the unit of the cost, where a node's load rises by 1.
  std::vector<double> slope_;
  double most_slope_ = 0.0;
  std::vector<double> weight_;
  std::vector<std::int32_t> home_, count_;         // of experts
  std::vector<double> size_, more_, fewer_;        // with a replica more, and one fewer
  std::vector<std::int32_t> on_;
  std::vector<double> load_;  // of nodes
  std::vector<Index> free_;   // slots of nodes that are free
  std::vector<std::int32_t> members_;
  std::vector<Index> num_members_;
  std::vector<std::int32_t> order_;  // experts, or members of a node
  std::vector<double> sorted_;
  Index sample_;  // of so many experts one is looked at
  double total_ = 0.0, level_ = 0.0;  // GPU load that nodes are to come down to
  double limit_ = 0.0;                // and what a replica is to serve at most
};

}  // namespace eplb::serving
