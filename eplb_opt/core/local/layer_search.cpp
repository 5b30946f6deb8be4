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
  while (steps > 0 && !is_done()) {
    steps -= std::max<Index>(take(std::min(steps, kSlice), Deadline::never()), 1);
  }
}

void LayerSearch::run_until(const Deadline& deadline) {
  const bool was_polished = is_polished();
  while (!is_done() && is_polished() == was_polished) {
    take(kSlice, deadline);
    if (deadline.expired()) return;
  }
}

// Steps on the node with the largest load: it alone decides the layer's.
Index LayerSearch::take(Index steps, const Deadline& deadline) {
  const Index node_idx = worst();
  NodeSearch& node = nodes_[node_idx];
  if (polished_[node_idx]) return node.advance(steps, {target_}, deadline).steps;
  const NodeSearch::Taken taken = node.advance(steps, {target_, true}, deadline);
  if (taken.stopped) {
    polished_[node_idx] = true;
    if (static_cast<double>(node.best()) > static_cast<double>(target_) * (1 + kScanGap)) {
      node.scan(target_, deadline);
    }
  }
  return taken.steps;
}

Index LayerSearch::worst() const {
  return std::ranges::max_element(nodes_, {}, &NodeSearch::best) - nodes_.begin();
}

}  // namespace eplb::local
