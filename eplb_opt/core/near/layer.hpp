// A layer near its plan in force, planned node by node where groups are bound to nodes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "common/views.hpp"
#include "near/descent.hpp"
#include "near/state.hpp"

namespace eplb::near {

// GPUs and what binds them; experts come in equal consecutive groups.
struct Machine {
  Index num_experts, num_gpus, slots_per_gpu;
  Index num_nodes;   // a node's GPUs follow one another
  Index num_groups;  // 1 where groups are not bound to nodes
  Index far_price;   // see Shape
  bool is_apart;
  std::vector<std::uint8_t> is_active;  // of every GPU

  bool has_bound_groups() const { return num_groups > 1 && num_nodes > 1; }
  Index gpus_per_node() const { return num_gpus / num_nodes; }
};

// What a plan came to.
struct Outcome {
  Index moves = 0, price = 0;
  std::int64_t largest = 0;  // GPU load, at most so much
  // As it was when everything that must move had moved: its largest load and those moves.
  std::int64_t before = 0;
  Index forced = 0;
  bool is_reached = false;
};

class Layer {
 public:
  explicit Layer(const Machine& machine);

  // Begin with another layer: the experts' loads in fixed point, and the plan in force. Whether that
  // can be planned from: no group stands on two nodes, no node has more groups than its share, and
  // each has enough slots. Groups that stand nowhere get nodes.
  bool start(std::span<const std::int64_t> weight, std::span<const std::int64_t> held);

  // Nothing but what must move: experts without a slot, and slots without an expert.
  Outcome stay();
  // The fewest moves found to bring every GPU to (1 + tolerance) times the bound. Where that is not
  // reached, what came nearest, or the least largest load found where it `bisects`. Each descent has
  // at most so many steps: there is one, or up to five where a level is nearly reached, and eight
  // more where it bisects.
  Outcome within(double tolerance, Index steps, bool bisects);
  // The same for a largest load of `level`, in the weights' fixed point.
  Outcome below(std::int64_t level, Index steps);
  // The least largest load found with moves of at most that price, and those that must be.
  Outcome at_most(Index price, Index steps);
  // What ever lower levels cost, from the plan in force on, until several in a row lead no lower or
  // the time is up.
  std::vector<Outcome> front(Index steps, const Deadline& deadline);

  // The plan that the last call, or point `i` of the last front, found.
  void write(std::span<std::int64_t> placed) const;
  void write(Index i, std::span<std::int64_t> placed) const;

  // No plan with the groups on their nodes is below it.
  std::int64_t bound() const { return bound_; }

 private:
  struct Node {
    Node(const Machine& machine, Shape shape, std::vector<Index> gpus);

    std::vector<Index> gpus;  // that are active
    std::vector<std::int32_t> ids, weight, held;
    std::int32_t least_replica = 0;  // the largest one's size where all slots are given out anew
    State state;
    Descent descent;
  };
  struct Point {
    Outcome outcome;
    std::vector<std::int32_t> placed;  // node after node, in the nodes' own experts
  };

  bool find_homes(std::span<const std::int64_t> weight, std::span<const std::int64_t> held);
  void deal_homeless(std::span<const std::int64_t> weight, std::vector<Index> groups_on);
  void take(Node& node, Index node_idx, std::span<const std::int64_t> weight,
            std::span<const std::int64_t> held);
  bool is_roomy() const;
  std::int64_t lowest() const;
  Point run(std::int32_t level, Limits limits);
  bool try_levels(std::int32_t level, const Limits& limits);
  void bisect(std::int32_t low, const Limits& limits);
  void write(const Point& point, std::span<std::int64_t> placed) const;

  Machine machine_;
  std::vector<Node> nodes_;
  std::vector<Index> node_of_group_;
  std::vector<std::int32_t> local_;  // the id of every expert on its node
  int shift_;
  std::int64_t bound_ = 0;
  Point best_;
  std::vector<Point> front_;
};

}  // namespace eplb::near
