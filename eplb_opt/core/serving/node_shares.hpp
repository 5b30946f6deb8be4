// How many replicas of each expert stand on each node, for node loads that are level enough for a
// price on what is served away from home.
#pragma once

#include <span>
#include <vector>

#include "serving/locality.hpp"

namespace eplb::serving {

// Replicas of one layer's experts on nodes. Every expert begins with one at home, and what is left
// of a node's slots goes to the largest replicas on it. Then replicas that are too large for one
// GPU, and nodes that are too heavy, give to the others, by the change that costs least.
class NodeShares {
 public:
  // `weight` are the experts' loads in fixed point, `homes` the groups' nodes.
  NodeShares(const Locality& locality, const Grid& grid, std::span<const std::int64_t> weight,
             std::span<const Index> homes);

  void plan();

  Index on(Index expert, Index node) const { return on_[expert * locality_.num_nodes + node]; }
  std::int64_t size(Index expert) const { return size_[expert]; }
  std::int64_t part(Index expert, Index node) const { return on(expert, node) * size_[expert]; }
  std::int64_t node_load(Index node) const { return load_[node]; }
  std::span<const Index> members(Index node) const { return members_[node]; }

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

  void place_at_home();
  void fill(Index node);
  void set_limit();
  void split_large();
  bool split_largest();
  void set_level();
  void shed();
  bool shed_from(Index node);
  void look_at_copy(Index expert, Index from, Index to, Index spare, Change& best) const;
  void look_at_swap(Index expert, Index from, Index to, Index other, Change& best) const;
  void make(const Change& change);
  std::size_t roomiest(std::span<Index> nodes) const;
  Offer offer_of(Index node, Index taker) const;
  Index spare_of(Index node, Index taker) const;

  void add(Index expert, Index node);
  void take(Index expert, Index node);
  void change(Index expert, Index node, Index more);

  std::int64_t beyond(Index node) const { return load_[node] - level_ * gpus_[node]; }
  double rise(Index node, std::int64_t more) const;
  std::int64_t away(Index expert, Index more, Index at_home) const;

  const Locality& locality_;
  std::span<const std::int64_t> weight_;
  std::vector<Index> home_;  // of experts
  std::vector<std::int64_t> size_, more_, fewer_;  // with a replica more, and one fewer
  std::vector<Index> count_, on_;
  std::vector<std::int64_t> load_;  // of nodes
  std::vector<Index> free_, gpus_;  // slots of nodes that are free, GPUs of nodes
  // What the largest load rises by, in the unit of the cost, where a node's load rises by 1.
  std::vector<double> slope_;
  std::vector<std::vector<Index>> members_;
  std::int64_t total_ = 0, level_ = 0;  // GPU load that nodes are to come down to
  std::int64_t limit_ = 0;              // and what a replica is to serve at most
};

}  // namespace eplb::serving
