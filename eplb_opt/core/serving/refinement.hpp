// The search on all layers of a model, until a deadline or by counted steps.
#pragma once

#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "common/kept_memory.hpp"
#include "common/views.hpp"
#include "serving/fixed_point.hpp"
#include "serving/node_search.hpp"

namespace eplb::serving {

// Steps a layer, with which no layer's plan depends on the others; or a deadline, before which the
// steps are the most.
struct Budget {
  static constexpr Index kAnySteps = std::numeric_limits<Index>::max();

  Index steps;
  std::optional<Deadline> deadline;

  bool is_over() const { return deadline && deadline->expired(); }
  Budget with_at_most(Index most) const { return {deadline ? most : steps, deadline}; }
};

// The searches on the nodes of all layers, from one placement.
class ModelSearch {
 public:
  // `placed` is the expert of every slot, [num_layers, num_slots]; `shape` that of a node, of which
  // the last may have fewer GPUs. `node_weights` are what each node serves of every expert's load,
  // [num_layers * num_nodes, num_experts]; counts stay as they are then. Without them a node serves
  // all of its experts'.
  ModelSearch(const FixedLoads& loads, const NodeShape& shape, Table<const std::int64_t> placed,
              std::span<const std::int64_t> node_weights = {});

  Index num_layers() const { return num_layers_; }
  std::int64_t reached(Index layer) const;       // largest load of the best plan so far
  std::int64_t heaviest_node(Index layer) const;  // load of the node with the largest one
  std::int64_t largest_size(Index layer) const;  // of a replica, at the start

  // Take a layer from another placement.
  void take(const ModelSearch& other, Index layer);

  // Search until every layer is at its target or the budget is spent.
  void run(std::span<const std::int64_t> targets, const Budget& budget);

  // The best plan of a layer: its slots' experts and the experts' counts.
  void write(Index layer, std::span<std::int64_t> placed, std::span<std::int64_t> counts) const;

 private:
  class Turns;

  std::span<const NodeSearch> nodes(Index layer) const;
  std::int64_t most_of(Index layer, std::int64_t (NodeSearch::*figure)() const) const;
  NodeSearch& worst_node(Index layer);

  const FixedLoads* loads_;
  NodeShape shape_, last_shape_;
  Index num_layers_, num_nodes_;
  KeptMemory memory_;
  std::vector<NodeSearch> searches_;  // node after node, layer after layer
};

}  // namespace eplb::serving
