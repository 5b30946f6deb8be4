#include "serving/priced_session.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "serving/group_nodes.hpp"
#include "serving/priced_descent.hpp"

namespace eplb::serving {

namespace {

// With a deadline layers get turns of so many steps, first those where they bring most.
constexpr Index kTurn = 16;
// With less excess, in mean GPU loads, a step counts for more than one, and for so many at most.
constexpr float kUneven = 0.02F, kMostSteps = 8.0F;
// With two slots a GPU, from this price on both ways to begin are tried.
constexpr double kDear = 0.5;
// What traffic costs next to nothing is this part of all load; searches get about as near to level.
constexpr double kNearlyFree = 1.002;

FixedLoads checked(const StridedTable& given, const greedy::Loads& loads) {
  if (!loads.summary().is_sound()) {
    throw std::invalid_argument("Loads are finite, not negative, and float32 holds their sums.");
  }
  require_exact(given, loads.totals());
  return fixed_point(given, loads.totals());
}

}  // namespace

PricedSession::PricedSession(const StridedTable& given, const Locality& locality)
    : locality_(locality),
      grid_(locality),
      num_layers_(given.rows),
      loads_(given),
      fixed_(checked(given, loads_)),
      placed_(num_layers_ * locality.num_slots),
      homes_(num_layers_ * locality.num_groups),
      worth_(num_layers_),
      shares_(locality),
      packing_(locality),
      pairs_(locality),
      search_(locality),
      assessor_(locality) {}

// With counted work a layer's steps are the first of one sequence: more of them never cost more.
void PricedSession::plan(Index steps, std::optional<double> seconds) {
  const std::optional<Deadline> deadline =
      seconds ? std::optional(Deadline::after(std::max(*seconds, 0.0))) : std::nullopt;
  for (Index layer = 0; layer < num_layers_; ++layer) {
    begin(layer);
    if (!deadline) search(steps);
    finish(layer);
  }
  if (deadline) by_need(*deadline);
}

// A layer's first plan. With two slots a GPU pairs are level before anything is at home; where traffic
// is dear, the other way may cost less.
void PricedSession::begin(Index layer) {
  const std::span<const std::int64_t> weight = fixed_.layer(layer);
  const std::vector<Index> homes = level_homes(locality_, grid_, weight);
  if (locality_.slots_per_gpu() != 2) return begin_at_home(layer, homes);
  if (locality_.price < kDear) return begin_with_pairs(layer, homes);
  begin_at_home(layer, homes);
  const double at_home = search_.least_cost();
  begin_with_pairs(layer, homes);
  if (at_home < search_.least_cost()) begin_at_home(layer, homes);
}

void PricedSession::begin_with_pairs(Index layer, std::span<const Index> homes) {
  pairs_.plan(fixed_.layer(layer), homes, row(layer));
  search_.start(fixed_.layer(layer), homes, row(layer));
  search_.begin_with_homes();
}

void PricedSession::begin_at_home(Index layer, std::span<const Index> homes) {
  shares_.plan(fixed_.layer(layer), homes);
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index first = node * locality_.slots_per_node();
    packing_.pack(shares_, node, row(layer).subspan(first, locality_.slots_of(node)));
  }
  search_.start(fixed_.layer(layer), homes, row(layer));
  search_.level_nodes();
}

// Where GPUs are nearly level there is little to gain, and a step counts for several.
void PricedSession::search(Index steps) {
  const auto most = static_cast<float>(steps);
  for (float spent = 0.0F; spent < most && search_.step();) {
    spent += std::clamp(kUneven / std::max(search_.excess(), kUneven / kMostSteps), 1.0F, kMostSteps);
  }
}

void PricedSession::finish(Index layer) { worth_[layer] = search_.finish(row(layer), home_row(layer)); }

// Turns of the layers until none finds anything any more, or the time is over. Before a layer's first
// turn a step is thought to bring the same part of what its heaviest GPU has above the mean.
void PricedSession::by_need(const Deadline& deadline) {
  std::vector<std::pair<double, Index>> needs;  // what a step brings, and the layer, negative
  for (Index layer = 0; layer < num_layers_; ++layer) {
    const std::span<const std::int64_t> weight = fixed_.layer(layer);
    const auto total = std::reduce(weight.begin(), weight.end());
    const double excess = locality_.cost(worth_[layer].largest, 0.0) - static_cast<double>(total);
    needs.emplace_back(excess * fixed_.unit[layer] / static_cast<double>(kTurn), -layer);
  }
  std::ranges::make_heap(needs);
  while (!needs.empty() && !deadline.expired()) {
    std::ranges::pop_heap(needs);
    const Index layer = -needs.back().second;
    needs.pop_back();
    const double before = worth_[layer].cost;
    search_.start(fixed_.layer(layer), home_row(layer), row(layer));
    Index done = 0;
    while (done < kTurn && !deadline.expired() && search_.step()) ++done;
    finish(layer);
    if (done < kTurn) continue;
    const double gain = (before - worth_[layer].cost) * fixed_.unit[layer];
    needs.emplace_back(gain / static_cast<double>(kTurn), -layer);
    std::ranges::push_heap(needs);
  }
}

bool PricedSession::offer(Index layer, std::span<const std::int64_t> plan) {
  assessor_.look(fixed_.layer(layer), plan);
  if (assessor_.least_cost() >= worth_[layer].cost) return false;
  std::vector<std::int64_t> homes(locality_.num_groups);
  const Worth worth = assessor_.worth(homes);
  if (worth.cost >= worth_[layer].cost) return false;
  worth_[layer] = worth;
  std::ranges::copy(plan, row(layer).begin());
  std::ranges::copy(homes, home_row(layer).begin());
  return true;
}

Worth PricedSession::worth_of(Index layer, std::span<const std::int64_t> placed) {
  std::vector<std::int64_t> homes(locality_.num_groups);
  assessor_.look(fixed_.layer(layer), placed);
  return assessor_.worth(homes);
}

bool PricedSession::is_nearly_free() const {
  return assessor_.level_cost() < kNearlyFree * assessor_.total();
}

bool PricedSession::come_near(Index layer, std::span<const std::int64_t> current, double tolerance,
                              Index steps, std::span<std::int64_t> found) {
  const double ceiling = worth_[layer].cost * (1.0 + tolerance);
  std::vector<std::int64_t> homes(locality_.num_groups);
  assessor_.look(fixed_.layer(layer), current);
  const Worth worth = assessor_.worth(homes);
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

}  // namespace eplb::serving
