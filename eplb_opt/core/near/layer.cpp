#include "near/layer.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "near/homes.hpp"
#include "near/splits.hpp"
#include "near/water.hpp"
#include "serving/fixed_point.hpp"

namespace eplb::near {

namespace {

constexpr Index kAnyPrice = std::numeric_limits<Index>::max() / 2;
// Levels that are tried for the least load, and each level of a front by the one before.
constexpr int kHalvings = 8;
constexpr double kLowerBy = 0.7, kNegligible = 1e-4;
// Levels in a row that lead no lower before a front ends.
constexpr int kMostVain = 3;
// Other levels that are tried where one is nearly reached, as parts of the tolerance.
constexpr double kClose = 0.05;
constexpr std::array<double, 4> kParts = {0.9, 0.8, 0.95, 0.6};

// Rounded down, and no further than loads reach.
std::int32_t level_at(std::int32_t bound, double tolerance) {
  const double level = static_cast<double>(bound) * (1 + tolerance);
  return static_cast<std::int32_t>(std::min(level, static_cast<double>(kFar)));
}

}  // namespace

Layer::Node::Node(const Machine& machine, Shape shape, std::vector<Index> active)
    : gpus(std::move(active)),
      held(shape.num_slots()),
      state(shape),
      descent(shape) {
  ids.reserve(machine.num_experts);
}

Layer::Layer(const Machine& machine)
    : machine_(machine),
      node_of_group_(machine.num_groups),
      local_(machine.num_experts),
      shift_(serving::kTotalBits - kTotalBits) {
  const Index num_parts = machine.has_bound_groups() ? machine.num_nodes : 1;
  const Index part = machine.num_gpus / num_parts;
  nodes_.reserve(num_parts);
  for (Index first = 0; first < machine.num_gpus; first += part) {
    std::vector<Index> gpus, node_of;
    for (Index gpu = first; gpu < first + part; ++gpu) {
      if (!machine.is_active[gpu]) continue;
      gpus.push_back(gpu);
      node_of.push_back(gpu / machine.gpus_per_node());
    }
    const Shape shape{std::ssize(gpus),  machine.slots_per_gpu, machine.num_experts / num_parts,
                      machine.far_price, machine.is_apart,      std::move(node_of)};
    nodes_.emplace_back(machine, shape, std::move(gpus));
  }
}

bool Layer::start(std::span<const std::int64_t> weight, std::span<const std::int64_t> held) {
  if (!find_homes(weight, held)) return false;
  for (Index i = 0; i < std::ssize(nodes_); ++i) take(nodes_[i], i, weight, held);
  if (!is_roomy()) return false;
  bound_ = lowest();
  return true;
}

// The node of every group; whether each has one, and each node as many as the others.
bool Layer::find_homes(std::span<const std::int64_t> weight, std::span<const std::int64_t> held) {
  std::ranges::fill(node_of_group_, std::ssize(nodes_) == 1 ? 0 : -1);
  if (std::ssize(nodes_) == 1) return true;
  const Index group_size = machine_.num_experts / machine_.num_groups;
  const Index node_slots = std::ssize(held) / machine_.num_nodes;
  const Index most = machine_.num_groups / machine_.num_nodes;
  std::vector<Index> groups_on(nodes_.size());
  for (Index slot = 0; slot < std::ssize(held); ++slot) {
    if (held[slot] < 0) continue;
    Index& home = node_of_group_[held[slot] / group_size];
    if (home < 0) ++groups_on[home = slot / node_slots];
    if (home != slot / node_slots) return false;
  }
  if (std::ranges::any_of(groups_on, [&](Index num) { return num > most; })) return false;
  deal_homeless(weight, std::move(groups_on));
  return true;
}

// Groups that stand nowhere, the heaviest first, go to the node with the least load that has room.
void Layer::deal_homeless(std::span<const std::int64_t> weight, std::vector<Index> groups_on) {
  const Index group_size = machine_.num_experts / machine_.num_groups;
  std::vector<std::int64_t> group_load(machine_.num_groups), node_load(nodes_.size());
  std::vector<Index> left;
  for (Index group = 0; group < machine_.num_groups; ++group) {
    const auto experts = weight.subspan(group * group_size, group_size);
    group_load[group] = std::accumulate(experts.begin(), experts.end(), std::int64_t{0});
    const Index home = node_of_group_[group];
    if (home < 0) left.push_back(group);
    else node_load[home] += group_load[group];
  }
  std::ranges::stable_sort(left, std::ranges::greater{}, [&](Index g) { return group_load[g]; });
  for (const Index group : left) {
    Index lightest = -1;
    for (Index node = 0; node < std::ssize(nodes_); ++node) {
      if (groups_on[node] == machine_.num_groups / machine_.num_nodes) continue;
      if (lightest < 0 || node_load[node] < node_load[lightest]) lightest = node;
    }
    node_of_group_[group] = lightest;
    ++groups_on[lightest];
    node_load[lightest] += group_load[group];
  }
}

void Layer::take(Node& node, Index node_idx, std::span<const std::int64_t> weight,
                 std::span<const std::int64_t> held) {
  const Index group_size = machine_.num_experts / machine_.num_groups;
  node.ids.clear(), node.weight.clear();
  for (std::int32_t id = 0; id < machine_.num_experts; ++id) {
    if (node_of_group_[id / group_size] != node_idx) continue;
    local_[id] = static_cast<std::int32_t>(std::ssize(node.ids));
    node.ids.push_back(id);
    node.weight.push_back(static_cast<std::int32_t>(weight[id] >> shift_));
  }
  auto to = node.held.begin();
  for (const Index gpu : node.gpus) {
    for (Index k = 0; k < machine_.slots_per_gpu; ++k) {
      const std::int64_t id = held[gpu * machine_.slots_per_gpu + k];
      *to++ = id < 0 ? -1 : local_[id];
    }
  }
  node.state.start(node.weight, node.held);
  if (node.held.size() >= node.weight.size()) {
    node.least_replica = largest_replica(node.weight, std::ssize(node.held));
  }
}

bool Layer::is_roomy() const {
  return std::ranges::all_of(nodes_, [](const Node& node) {
    return node.held.size() >= node.weight.size();
  });
}

std::int64_t Layer::lowest() const {
  std::int64_t most = 0;
  for (const Node& node : nodes_) {
    const Index num_gpus = std::ssize(node.gpus);
    most = std::max<std::int64_t>(
        most, lower_bound(node.weight, num_gpus * machine_.slots_per_gpu, num_gpus));
  }
  return most;
}

// All nodes at a level.
Layer::Point Layer::run(std::int32_t level, Limits limits) {
  Point point;
  point.outcome.is_reached = true;
  for (Node& node : nodes_) {
    State& state = node.state;
    state.reset(level - state.rounding());
    const bool is_sound = give_homes(state, node.descent.turns());
    Outcome& outcome = point.outcome;
    outcome.forced += state.moves();
    outcome.before =
        std::max<std::int64_t>(outcome.before, state.largest_load() + state.rounding());
    // A plan that is level enough stays as it is.
    if (limits.steps > 0 && std::ranges::min(state.room) < 0) {
      split_large(state, node.descent.turns(), node.least_replica, limits.most_price);
    }
    const bool is_level = node.descent.run(state, limits);
    outcome.is_reached &= is_sound && is_level;
    outcome.moves += state.moves();
    outcome.price += state.price();
    outcome.largest =
        std::max<std::int64_t>(outcome.largest, state.largest_load() + state.rounding());
    limits.steps -= node.descent.steps();
    limits.most_price -= state.price();
    const Index before = std::ssize(point.placed);
    point.placed.resize(before + std::ssize(node.held));
    state.write(std::span(point.placed).subspan(before));
  }
  return point;
}

// Keep the least largest load of levels between one that is not reached and what is.
void Layer::bisect(std::int32_t low, const Limits& limits) {
  for (int i = 0; i < kHalvings; ++i) {
    const auto high = static_cast<std::int32_t>(best_.outcome.largest);
    if (high - low <= static_cast<std::int32_t>(static_cast<double>(high) * kNegligible)) return;
    const std::int32_t middle = low + (high - low) / 2;
    Point found = run(middle, limits);
    if (found.outcome.largest > middle) low = middle;
    if (found.outcome.largest < best_.outcome.largest) best_ = std::move(found);
  }
}

Outcome Layer::stay() {
  best_ = run(kFar, {0, 0});
  return best_.outcome;
}

// Descend to the level, and where that is nearly reached to lower ones. Whether it is reached.
bool Layer::try_levels(std::int32_t level, const Limits& limits) {
  best_ = run(level, limits);
  // Another level takes other ways, and what is above it in the end may be at this one.
  const auto margin = static_cast<double>(level) - static_cast<double>(bound());
  const bool is_close = best_.outcome.largest <= level_at(level, kClose);
  for (int i = 0; is_close && !best_.outcome.is_reached && i < std::ssize(kParts); ++i) {
    Point found = run(static_cast<std::int32_t>(static_cast<double>(bound()) + kParts[i] * margin), limits);
    if (found.outcome.largest < best_.outcome.largest) best_ = std::move(found);
    best_.outcome.is_reached = best_.outcome.largest <= level;
  }
  return best_.outcome.is_reached;
}

Outcome Layer::within(double tolerance, Index steps, bool bisects) {
  if (bound() == 0) {  // without load everything is level
    stay();
    best_.outcome.is_reached = true;
    return best_.outcome;
  }
  const std::int32_t level = level_at(static_cast<std::int32_t>(bound()), tolerance);
  const Limits limits{steps, kAnyPrice};
  if (!try_levels(level, limits) && bisects) {
    bisect(level, limits);
    best_.outcome.is_reached = best_.outcome.largest <= level;
  }
  return best_.outcome;
}

Outcome Layer::below(std::int64_t level, Index steps) {
  try_levels(static_cast<std::int32_t>(std::min<std::int64_t>(level >> shift_, kFar)),
             {steps, kAnyPrice});
  return best_.outcome;
}

Outcome Layer::at_most(Index price, Index steps) {
  stay();
  bisect(static_cast<std::int32_t>(bound()), {steps, price});
  return best_.outcome;
}

std::vector<Outcome> Layer::front(Index steps, const Deadline& deadline) {
  // Between what no plan, or no descent, is below and the lowest load so far.
  double low = static_cast<double>(bound());
  front_.clear();
  front_.push_back(run(kFar, {0, 0}));
  double high = static_cast<double>(front_[0].outcome.largest);
  int vain = 0;
  while (high > low * (1 + kNegligible) && vain < kMostVain && !deadline.expired()) {
    const double level = low + (high - low) * kLowerBy;
    Point point = run(static_cast<std::int32_t>(level), {steps, kAnyPrice});
    const Outcome& found = point.outcome;
    if (!found.is_reached) low = level;
    ++vain;
    if (static_cast<double>(found.largest) >= high) continue;
    high = static_cast<double>(found.largest);
    vain = 0;
    while (!front_.empty() && front_.back().outcome.price >= found.price) front_.pop_back();
    front_.push_back(std::move(point));
  }
  std::vector<Outcome> outcomes;
  for (const Point& point : front_) outcomes.push_back(point.outcome);
  return outcomes;
}

void Layer::write(std::span<std::int64_t> placed) const { write(best_, placed); }

void Layer::write(Index i, std::span<std::int64_t> placed) const { write(front_[i], placed); }

void Layer::write(const Point& point, std::span<std::int64_t> placed) const {
  std::ranges::fill(placed, -1);
  auto from = point.placed.begin();
  for (const Node& node : nodes_) {
    for (const Index gpu : node.gpus) {
      for (Index k = 0; k < machine_.slots_per_gpu; ++k, ++from) {
        if (*from >= 0) placed[gpu * machine_.slots_per_gpu + k] = node.ids[*from];
      }
    }
  }
}

}  // namespace eplb::near
