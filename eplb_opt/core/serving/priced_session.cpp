#include "serving/priced_session.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "serving/group_nodes.hpp"
#include "serving/priced_descent.hpp"

namespace eplb::serving {

namespace {

// With a deadline every layer gets so many steps first, and then turns of so many, the layers first
// whose last turn has brought most.
constexpr Index kFirstSteps = 8, kTurn = 16;
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

// A layer's first plan.
void PricedSession::begin(Index layer) {
  const std::span<const std::int64_t> weight = fixed_.layer(layer);
  const std::vector<Index> homes = level_homes(locality_, grid_, weight);
  shares_.plan(weight, homes);
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index first = node * locality_.slots_per_node();
    packing_.pack(shares_, node, row(layer).subspan(first, locality_.slots_of(node)));
  }
  search_.start(weight, homes, row(layer));
  search_.level_nodes();
}

void PricedSession::search(Index steps) {
  for (Index i = 0; i < steps && search_.step(); ++i) {
  }
}

void PricedSession::finish(Index layer) { worth_[layer] = search_.finish(row(layer), home_row(layer)); }

// Turns of the layers until none finds anything any more, or the time is over.
void PricedSession::by_need(const Deadline& deadline) {
  std::vector<std::pair<double, Index>> needs;  // what a step has brought, and the layer, negative
  const auto turn = [&](Index layer, Index steps) {
    const double before = worth_[layer].cost;
    search_.start(fixed_.layer(layer), home_row(layer), row(layer));
    Index done = 0;
    while (done < steps && !deadline.expired() && search_.step()) ++done;
    finish(layer);
    if (done < steps) return;
    const double gain = (before - worth_[layer].cost) * fixed_.unit[layer];
    needs.emplace_back(gain / static_cast<double>(steps), -layer);
    std::ranges::push_heap(needs);
  };
  for (Index layer = 0; layer < num_layers_ && !deadline.expired(); ++layer) turn(layer, kFirstSteps);
  while (!needs.empty() && !deadline.expired()) {
    std::ranges::pop_heap(needs);
    const Index layer = -needs.back().second;
    needs.pop_back();
    turn(layer, kTurn);
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
