#include "local/layer_search.hpp"

#include <algorithm>

namespace eplb::local {

namespace {

// Steps on one node before the nodes are compared once more.
constexpr Index kSlice = 8;
// Other counts are looked at while the gap is larger than this.
constexpr double kScanGap = 5e-4;

}  // namespace

void LayerSearch::add_node(Node node, Experts slots, std::int64_t seed) {
  nodes_.emplace_back(std::move(node), slots, seed);
  polished_.push_back(false);
}

void LayerSearch::run_steps(Index steps) {
  scan_due(Deadline::never());
  while (steps > 0 && !is_done()) {
    steps -= std::max<Index>(take(std::min(steps, kSlice), Deadline::never()), 1);
    scan_due(Deadline::never());
  }
}

void LayerSearch::run_until(const Deadline& deadline) {
  scan_due(deadline);
  const bool was_polished = is_polished();
  while (!is_done() && is_polished() == was_polished) {
    take(kSlice, deadline);
    if (deadline.expired()) return;
  }
}

// Steps on the node with the largest load: it alone decides the layer's.
Index LayerSearch::take(Index steps, const Deadline& deadline) {
  const Index node_idx = worst();
  const Goal goal{target_, !polished_[node_idx]};
  const NodeSearch::Taken taken = nodes_[node_idx].advance(steps, goal, deadline);
  if (goal.only_exchange && taken.stopped) {
    polished_[node_idx] = true;
    due_.push_back(node_idx);
  }
  return taken.steps;
}

// Other counts for the nodes that have come to a local optimum, where the gap is large.
void LayerSearch::scan_due(const Deadline& deadline) {
  for (; !due_.empty() && !deadline.expired(); due_.pop_back()) {
    NodeSearch& node = nodes_[due_.back()];
    const bool is_wide =
        static_cast<double>(node.best()) > static_cast<double>(target_) * (1 + kScanGap);
    if (is_wide && !node.scan(target_, deadline)) return;
  }
}

Index LayerSearch::worst() const {
  return std::ranges::max_element(nodes_, {}, &NodeSearch::best) - nodes_.begin();
}

}  // namespace eplb::local
