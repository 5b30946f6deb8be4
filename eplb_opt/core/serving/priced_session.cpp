#include "serving/priced_session.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "serving/group_nodes.hpp"
#include "serving/node_packing.hpp"
#include "serving/node_shares.hpp"
#include "serving/partition.hpp"
#include "serving/priced_descent.hpp"

namespace eplb::serving {

namespace {

// Below this share of its bound a gap is of no use to anyone.
constexpr double kNegligibleGap = 1e-5;
// A layer whose largest load is nearer to its target has nothing to gain from other nodes.
constexpr double kUneven = 1.0002;
// A step of the descent looks at all GPUs and at copies; it takes as long as so many exchanges.
constexpr Index kExchanges = 3;
// With a deadline a layer is levelled with so many steps, and descends with so many, before the time
// that is left goes to those that are farthest from level.
constexpr Index kFirstSteps = 20, kFirstDescent = 30;

FixedLoads checked(const StridedTable& given, const greedy::Loads& loads) {
  if (!loads.summary().is_sound()) {
    throw std::invalid_argument("Loads are finite, not negative, and float32 holds their sums.");
  }
  require_exact(given, loads.totals());
  return fixed_point(given, loads.totals());
}

}  // namespace

Worth assess(const Locality& locality, const Grid& grid, std::span<const std::int64_t> weight,
             std::span<const std::int64_t> placed, std::span<std::int64_t> homes) {
  const Index num_nodes = locality.num_nodes, num_slots = std::ssize(placed);
  std::vector<std::int64_t> size(weight.begin(), weight.end()), count(weight.size());
  for (const std::int64_t expert : placed) ++count[expert];
  for (Index expert = 0; expert < std::ssize(weight); ++expert) {
    if (count[expert] > 1) size[expert] /= count[expert];
  }
  std::vector<std::int64_t> served(locality.num_groups * num_nodes), load(locality.num_gpus);
  for (Index slot = 0; slot < num_slots; ++slot) {
    const std::int64_t expert = placed[slot];
    load[grid.gpu[slot]] += size[expert];
    served[grid.group[expert] * num_nodes + grid.node[slot]] += size[expert];
  }
  const std::int64_t total = std::accumulate(load.begin(), load.end(), std::int64_t{0});
  const std::vector<Index> nodes = best_homes(locality, served);
  std::ranges::copy(nodes, homes.begin());
  std::int64_t kept = 0;
  for (Index group = 0; group < locality.num_groups; ++group) {
    kept += served[group * num_nodes + nodes[group]];
  }
  const std::int64_t largest = std::ranges::max(load);
  const auto away = static_cast<double>(total - kept);
  return {largest, away, locality.cost(largest, away)};
}

PricedSession::PricedSession(const StridedTable& given, const Locality& locality)
    : locality_(locality),
      grid_(locality),
      num_layers_(given.rows),
      loads_(given),
      fixed_(checked(given, loads_)),
      placed_(num_layers_ * locality.num_slots),
      homes_(num_layers_ * locality.num_groups),
      targets_(num_layers_),
      worth_(num_layers_) {}

void PricedSession::plan(Index steps, std::optional<double> seconds) {
  Budget first{seconds ? kFirstSteps : steps, {}};
  if (seconds) first.deadline = Deadline::after(std::max(*seconds, 0.0));
  std::vector<Index> order(num_layers_), changed;
  std::iota(order.begin(), order.end(), Index{0});
  for (const Index layer : order) begin(layer);
  level(first, order);
  // Those farthest from level first: with a deadline the others may have no turn.
  const auto excess = [&](Index layer) {
    return static_cast<double>(worth_[layer].largest) / static_cast<double>(targets_[layer]);
  };
  std::ranges::stable_sort(order, std::ranges::greater{}, excess);
  const Index most = seconds ? kFirstDescent : steps / kExchanges;
  for (const Index layer : order) {
    if (excess(layer) < kUneven || first.is_over()) break;
    if (descend(layer, most)) changed.push_back(layer);
  }
  if (first.is_over()) return;
  level({seconds ? Budget::kAnySteps : steps, first.deadline}, seconds ? order : changed);
}

// A layer's first plan.
void PricedSession::begin(Index layer) {
  const std::span<const std::int64_t> weight = fixed_.layer(layer);
  NodeShares shares(locality_, grid_, weight, level_homes(locality_, grid_, weight));
  shares.plan();
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index first = node * locality_.slots_per_node();
    pack_node(shares, locality_, node, row(layer).subspan(first, locality_.slots_of(node)));
  }
}

// What each node serves of every expert under a layer's plan; the load to come down to.
std::int64_t PricedSession::set_parts(Index layer, std::span<std::int64_t> parts) {
  const Index num_experts = locality_.num_experts;
  std::vector<std::int64_t> size(fixed_.layer(layer).begin(), fixed_.layer(layer).end());
  std::vector<std::int64_t> count(num_experts), load(locality_.num_nodes);
  for (const std::int64_t expert : row(layer)) ++count[expert];
  for (Index expert = 0; expert < num_experts; ++expert) {
    if (count[expert] > 1) size[expert] /= count[expert];
  }
  std::ranges::fill(parts, 0);
  for (Index slot = 0; slot < locality_.num_slots; ++slot) {
    const std::int64_t expert = row(layer)[slot];
    parts[grid_.node[slot] * num_experts + expert] += size[expert];
    load[grid_.node[slot]] += size[expert];
  }
  std::int64_t target = std::ranges::max(size);
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    target = std::max(target, load[node] / locality_.gpus_of(node));
  }
  return target + 1 + static_cast<std::int64_t>(static_cast<double>(target) * kNegligibleGap);
}

// Exchanges within the nodes, which cost no traffic, of some layers.
void PricedSession::level(const Budget& budget, std::span<const Index> layers) {
  if (layers.empty()) return;
  const Index num_slots = locality_.num_slots, num_layers = std::ssize(layers);
  const Index size = locality_.num_nodes * locality_.num_experts;
  FixedLoads alone{{}, {}, locality_.num_experts};
  std::vector<std::int64_t> rows, targets, counts(locality_.num_experts);
  KeptMemory parts(num_layers * size);
  rows.reserve(num_layers * num_slots);
  for (Index i = 0; i < num_layers; ++i) {
    const Index layer = layers[i];
    alone.unit.push_back(fixed_.unit[layer]);
    std::ranges::copy(row(layer), std::back_inserter(rows));
    targets_[layer] = set_parts(layer, {parts.data() + i * size, static_cast<std::size_t>(size)});
    targets.push_back(targets_[layer]);
  }
  ModelSearch search(alone, locality_.node_shape(), {rows.data(), num_layers, num_slots},
                     {parts.data(), static_cast<std::size_t>(num_layers * size)});
  search.run(targets, budget);
  for (Index i = 0; i < num_layers; ++i) {
    const Index layer = layers[i];
    search.write(i, row(layer), counts);
    worth_[layer] = assess(locality_, grid_, fixed_.layer(layer), row(layer), home_row(layer));
  }
}

// Exchanges and copies over all nodes; whether the layer's plan costs less.
bool PricedSession::descend(Index layer, Index steps) {
  PricedDescent descent(locality_, grid_, fixed_.layer(layer), home_row(layer), row(layer));
  std::vector<std::int64_t> best;
  double least = descent.cost();
  for (Index i = 0; i < steps && descent.step(); ++i) {
    if (descent.cost() >= least) continue;
    least = descent.cost();
    best.assign(descent.placed().begin(), descent.placed().end());
  }
  return !best.empty() && offer(layer, best);
}

bool PricedSession::offer(Index layer, std::span<const std::int64_t> plan) {
  std::vector<std::int64_t> homes(locality_.num_groups);
  const Worth worth = assess(locality_, grid_, fixed_.layer(layer), plan, homes);
  if (worth.cost >= worth_[layer].cost) return false;
  worth_[layer] = worth;
  std::ranges::copy(plan, row(layer).begin());
  std::ranges::copy(homes, home_row(layer).begin());
  return true;
}

Worth PricedSession::worth_of(Index layer, std::span<const std::int64_t> placed) const {
  std::vector<std::int64_t> homes(locality_.num_groups);
  return assess(locality_, grid_, fixed_.layer(layer), placed, homes);
}

bool PricedSession::come_near(Index layer, std::span<const std::int64_t> current, double tolerance,
                              Index steps, std::span<std::int64_t> found) const {
  const double ceiling = worth_[layer].cost * (1.0 + tolerance);
  std::vector<std::int64_t> homes(locality_.num_groups);
  const Worth worth = assess(locality_, grid_, fixed_.layer(layer), current, homes);
  std::ranges::copy(current, found.begin());
  if (worth.cost <= ceiling) return true;
  return walk(layer, homes, current, ceiling, steps, found) ||
         walk(layer, this->homes()[layer], current, ceiling, steps, found);
}

bool PricedSession::walk(Index layer, std::span<const std::int64_t> homes,
                         std::span<const std::int64_t> current, double ceiling, Index steps,
                         std::span<std::int64_t> found) const {
  PricedDescent descent(locality_, grid_, fixed_.layer(layer), homes, current);
  for (Index i = 0; i < steps && descent.cost() > ceiling; ++i) {
    if (!descent.step()) return false;
  }
  std::ranges::copy(descent.placed(), found.begin());
  return descent.cost() <= ceiling;
}

double PricedSession::strict_bound(Index layer) const {
  const Index num_groups = locality_.num_groups, num_nodes = locality_.num_nodes;
  const std::span<const std::int64_t> weight = fixed_.layer(layer);
  std::int64_t heaviest = 0;
  const auto total = std::accumulate(weight.begin(), weight.end(), std::int64_t{0});
  if (num_groups > kMostGroups || num_groups % num_nodes != 0 ||
      locality_.num_experts % num_groups != 0) {
    return static_cast<double>(total);
  }
  const FixedLoads alone{{weight.begin(), weight.end()}, {1.0}, locality_.num_experts};
  const std::vector<std::int64_t> members = lightest_partition(alone, num_groups, num_nodes);
  const Index size = locality_.num_experts / num_nodes;
  for (Index first = 0; first < std::ssize(members); first += size) {
    std::int64_t load = 0;
    for (Index i = first; i < first + size; ++i) load += weight[members[i]];
    heaviest = std::max(heaviest, load / locality_.gpus_per_node());
  }
  return std::max(static_cast<double>(total), locality_.cost(heaviest, 0.0));
}

}  // namespace eplb::serving
