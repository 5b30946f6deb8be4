// How many replicas of each expert stand on each node, for node loads that are level enough for a
// price on what is served away from home.
#pragma once

#include <span>
#include <vector>

#include "serving/locality.hpp"
#include "serving/node_scans.hpp"

namespace eplb::serving {

// Replicas of one layer's experts on nodes; it serves one layer after the other. Every expert begins
// with one at home, and what is left of a node's slots goes to the largest replicas on it. Then
// replicas that are too large for one GPU, and nodes that are too heavy, give to the others, by the
// change that costs least.
//
// Loads are float32 in mean GPU loads, and made in one order: every machine gets the same.
class NodeShares {
 public:
  explicit NodeShares(const Locality& locality);

  // `weight` are the experts' loads in fixed point, `homes` the groups' nodes.
  void plan(std::span<const std::int64_t> weight, std::span<const Index> homes);

  Index on(Index expert, Index node) const { return on_[expert * locality_.num_nodes + node]; }
  float size(Index expert) const { return size_[expert]; }
  std::span<const std::int32_t> members(Index node) const {
    return std::span(member_).subspan(node * width_, num_members_[node]);
  }

 private:
  // A further replica on a node, in the place of another expert's; less cost is below 0.
  struct Copy {
    float worth;
    Index node = -1, spare = -1;
  };

  void begin(std::span<const std::int64_t> weight, std::span<const Index> homes);
  void place_at_home();
  void place_groups();
  void fill(Index node);
  void fill_empty(Index node);
  void set_limit();
  void split_large();
  bool split(Index expert);
  void set_level();
  void shed();
  bool shed_from(Index node);
  float worth_of_copy(Index expert, Index node, Index spare) const;
  Index roomiest() const;
  Index lightest_of(Index node, Index taker) const;
  Index spare_of(Index node, Index taker) const;

  void place_first(Index expert, Index node);
  void add(Index expert, Index node) { count(expert, node, 1); }
  void take(Index expert, Index node) { count(expert, node, -1); }
  void move(Index expert, Index from, Index to);
  void count(Index expert, Index node, std::int32_t more);
  void enter(Index expert, Index node);
  void leave(Index expert, Index node);
  void write(Index expert, Index node);
  void write_all(Index expert);

  Index place_of(Index expert, Index node) const { return expert * locality_.num_nodes + node; }
  Index vectors_of(Index node) const { return (num_members_[node] + kEight - 1) / kEight; }
  float part(Index expert, Index count) const { return weight_[expert] * one_over_[count]; }
  float beyond(Index node) const { return load_[node] - level_ * gpus_[node]; }
  float rise(Index node, float more) const;
  float away(Index expert, Index more, Index at_home) const;

  const Locality locality_;
  const Grid grid_;
  const Index width_;             // places of a node's rows
  std::vector<float> one_over_;   // of numbers of replicas
  std::vector<float> gpus_;       // of nodes
  // What the largest load rises by, in the unit of the cost, where a node's load rises by 1.
  std::vector<float> slope_;
  const float price_;
  std::vector<float> weight_, size_;        // of experts
  std::vector<std::int32_t> home_, count_;
  std::vector<std::int32_t> on_, at_;       // of experts and nodes; at which place of the node, or -1
  std::vector<float> load_;                 // of nodes
  std::vector<Index> free_;                 // slots of nodes that are free
  std::vector<Index> num_members_;
  // Rows of nodes, of the experts there: replicas as they are, with one more and with one fewer; what
  // the node's load falls by with one more elsewhere; what is served away more with that.
  std::vector<std::int32_t> member_, member_home_;
  std::vector<float> member_size_, more_, fewer_, fall_, added_;
  std::vector<std::int32_t> order_;         // experts, or nodes
  std::vector<float> sorted_;
  Index sample_;  // of so many experts one is looked at
  float level_ = 0.0F;  // GPU load that nodes are to come down to
  float limit_ = 0.0F;  // and what a replica is to serve at most
};

}  // namespace eplb::serving
