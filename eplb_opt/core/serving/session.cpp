#include "serving/session.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "greedy/greedy.hpp"
#include "serving/checker.hpp"
#include "serving/partition.hpp"

namespace eplb::serving {

namespace {

// Below this share of its bound a gap is of no use to anyone.
constexpr double kNegligibleGap = 2e-6;
// The output takes so much of what the greedy took, and so many seconds at least.
constexpr double kOutputShare = 0.4, kOutputSeconds = 30e-6;
// Partitions of groups over nodes that are searched, and the steps after which a layer's search has
// little to add before a deadline, and other partitions have their turn.
constexpr std::size_t kPartitions = 8;
constexpr Index kTired = 800;
// With fewer steps a layer stays with the lightest.
constexpr Index kFewSteps = 10;
// Other partitions are worth a search where the lightest has left more than one part in so many.
constexpr std::int64_t kFar = 500;
// Node loads that differ by less are of the same partition, or of one as good.
constexpr double kSamePartition = 1e-9;

}  // namespace

Session::Session(const StridedTable& given, const greedy::Layout& layout)
    : given_(given),
      layout_(layout),
      num_layers_(given.rows),
      loads_(given),
      placed_(num_layers_ * layout.num_slots),
      counts_(num_layers_ * layout.num_experts) {
  if (!loads_.summary().is_sound()) {
    throw std::invalid_argument("Loads are finite, not negative, and float32 holds their sums.");
  }
  require_exact(given, loads_.totals());
}

void Session::plan_greedily() {
  if (is_planned_) return;
  is_planned_ = true;
  const std::int64_t began = now_ns();
  place_greedily();
  greedy_seconds_ = static_cast<double>(now_ns() - began) * 1e-9;
}

void Session::place_greedily() { greedy::place(loads_.single(), layout_, {}, placed(), counts()); }

const FixedLoads& Session::fixed() {
  if (!fixed_) fixed_ = fixed_point(given_, loads_.totals());
  return *fixed_;
}

NodeShape Session::node_shape() const {
  return {layout_.node_slots(), layout_.node_gpus(), layout_.num_experts};
}

std::vector<Comparison> Session::compare(Table<const std::int64_t> current) {
  const ModelSearch mine(fixed(), node_shape(), placed()), old(fixed(), node_shape(), current);
  std::vector<Comparison> verdicts;
  for (Index layer = 0; layer < num_layers_; ++layer) {
    const std::int64_t above = mine.reached(layer) - old.reached(layer);
    verdicts.push_back(above > rounding()    ? Comparison::worse
                       : above < -rounding() ? Comparison::better
                                             : Comparison::too_close);
  }
  return verdicts;
}

void Session::keep(Table<const std::int64_t> current, std::span<const std::uint8_t> layers) {
  if (layout_.num_nodes == 1 && water_.empty()) {
    const ModelSearch greedys(fixed(), node_shape(), placed());
    for (Index layer = 0; layer < num_layers_; ++layer) {
      water_.push_back(greedys.largest_size(layer));
    }
  }
  for (Index layer = 0; layer < num_layers_; ++layer) {
    if (layers[layer]) take(current, layer);
  }
}

void Session::put(Table<const std::int64_t> plan) {
  is_planned_ = true;
  for (Index layer = 0; layer < num_layers_; ++layer) take(plan, layer);
}

void Session::take(Table<const std::int64_t> plan, Index layer) {
  std::ranges::copy(plan[layer], placed()[layer].begin());
  std::ranges::fill(counts()[layer], 0);
  for (const std::int64_t expert : plan[layer]) ++counts()(layer, expert);
}

// Whether no step is to be made and there is nothing else to start from.
bool Session::is_left_alone(Index steps, bool has_deadline) const {
  return steps == 0 && !has_deadline && layout_.slots_per_gpu() != 2 && layout_.num_nodes == 1;
}

void Session::refine(Index steps, std::optional<double> seconds) {
  Budget budget{steps, {}};
  plan_greedily();
  if (seconds) {
    const double output = kOutputShare * greedy_seconds_ + kOutputSeconds;
    budget.deadline = Deadline::after(std::max(*seconds - output, 0.0));
  }
  if (budget.is_over() || is_left_alone(steps, seconds.has_value())) return;
  ModelSearch least(fixed(), node_shape(), placed());
  std::vector<std::int64_t> ceilings;
  for (Index layer = 0; layer < num_layers_; ++layer) {
    ceilings.push_back(least.reached(layer) - rounding() - 1);
    // The greedy's counts keep the largest replica as small as can be, on its own partition.
    if (layout_.num_nodes == 1 && std::ssize(water_) <= layer) {
      water_.push_back(least.largest_size(layer));
    }
  }
  std::optional<ModelSearch> other = other_start(least);
  ModelSearch& search = other ? *other : least;
  search.run(targets(search), budget.with_at_most(kTired));
  write_better(search, ceilings);
  if (steps >= kFewSteps || seconds) try_other_partitions(budget, targets(search), ceilings);
  if (!budget.deadline) return;
  search.run(targets(search), budget.with_at_most(Budget::kAnySteps));
  write_better(search, ceilings);
}

// Where the search on the lightest partition of groups over nodes has ended far above `lightest`,
// its targets, and the next ones have less on their heaviest node, those are searched, too.
void Session::try_other_partitions(const Budget& budget, std::span<const std::int64_t> lightest,
                                   std::vector<std::int64_t>& ceilings) {
  if (layout_.num_nodes == 1 || layout_.num_groups > kMostGroups ||
      layout_.num_nodes == layout_.num_groups) {
    return;
  }
  std::vector<bool> wanted(num_layers_);
  for (Index layer = 0; layer < num_layers_; ++layer) {
    wanted[layer] = ceilings[layer] - lightest[layer] > lightest[layer] / kFar;
  }
  if (std::ranges::find(wanted, true) == wanted.end()) return;
  const auto partitions =
      lightest_partitions(fixed(), layout_.num_groups, layout_.num_nodes, kPartitions, wanted);
  for (std::size_t rank = 1; rank < partitions.size() && !budget.is_over(); ++rank) {
    const std::vector<std::int64_t> start = placed_on(partitions[rank]);
    ModelSearch search(fixed(), node_shape(), {start.data(), num_layers_, layout_.num_slots});
    if (layout_.slots_per_gpu() == 2) search = folded(search);
    std::vector<std::int64_t> aims = targets(search);
    bool is_any = false;
    for (Index layer = 0; layer < num_layers_; ++layer) {
      const bool is_promising = wanted[layer] && aims[layer] < ceilings[layer];
      is_any |= is_promising;
      if (!is_promising) aims[layer] = std::numeric_limits<std::int64_t>::max();
    }
    if (!is_any) return;
    search.run(aims, budget.with_at_most(kTired));
    write_better(search, ceilings);
  }
}

std::vector<std::int64_t> Session::placed_on(std::span<const std::int64_t> members) {
  std::vector<std::int64_t> placed(placed_.size()), counts(counts_.size());
  greedy::place(loads_.single(), layout_, members, {placed.data(), num_layers_, layout_.num_slots},
                {counts.data(), num_layers_, layout_.num_experts});
  return placed;
}

std::vector<std::int64_t> Session::targets(const ModelSearch& search) const {
  std::vector<std::int64_t> found;
  for (Index layer = 0; layer < num_layers_; ++layer) {
    const std::int64_t mean = search.heaviest_node(layer) / layout_.node_gpus();
    const std::int64_t bound = std::max(mean, water_.empty() ? 0 : water_[layer]) + 1;
    found.push_back(bound + static_cast<std::int64_t>(static_cast<double>(bound) * kNegligibleGap));
  }
  return found;
}

// What to refine in the place of the best placement so far, where something else can do better.
std::optional<ModelSearch> Session::other_start(const ModelSearch& least) {
  std::optional<ModelSearch> other = on_lightest_nodes(least);
  if (layout_.slots_per_gpu() != 2) return other;
  return folded(other ? *other : least);
}

// The layers in which another partition of groups is better, or as good with a better plan.
std::optional<ModelSearch> Session::on_lightest_nodes(const ModelSearch& least) {
  const std::optional<std::vector<std::int64_t>> moved = repartitioned();
  if (!moved) return std::nullopt;
  ModelSearch other(fixed(), node_shape(), {moved->data(), num_layers_, layout_.num_slots});
  for (Index layer = 0; layer < num_layers_; ++layer) {
    const std::int64_t mine = least.heaviest_node(layer), theirs = other.heaviest_node(layer);
    const double slack = static_cast<double>(mine) * kSamePartition;
    const double gain = static_cast<double>(mine) - static_cast<double>(theirs);
    // Among equal partitions the better plan; the node loads differ by rounding alone then.
    const bool is_lower = other.reached(layer) < least.reached(layer);
    if (!(gain > slack || (is_lower && gain >= -slack))) other.take(least, layer);
  }
  return other;
}

// The greedy on the partition of groups with the lightest heaviest node, if there is another.
std::optional<std::vector<std::int64_t>> Session::repartitioned() {
  if (layout_.num_nodes == 1 || layout_.num_groups > kMostGroups ||
      layout_.num_nodes == layout_.num_groups) {
    return std::nullopt;
  }
  return placed_on(lightest_partition(fixed(), layout_.num_groups, layout_.num_nodes));
}

// With two slots a GPU, the same counts with the heaviest on the lightest replica's GPU.
ModelSearch Session::folded(const ModelSearch& search) {
  const Index num_slots = layout_.node_slots(), num_gpus = layout_.node_gpus();
  std::vector<std::int64_t> moved, placed(layout_.num_slots), counts(layout_.num_experts);
  std::vector<double> share(layout_.num_experts);
  moved.reserve(placed_.size());
  for (Index layer = 0; layer < num_layers_; ++layer) {
    search.write(layer, placed, counts);
    with_type(given_.type, [&](auto number) {
      const StridedRow<decltype(number)> row(given_, layer);
      for (Index e = 0; e < layout_.num_experts; ++e) {
        share[e] = static_cast<double>(row[e]) / static_cast<double>(counts[e]);
      }
    });
    for (Index first = 0; first < layout_.num_slots; first += num_slots) {
      std::vector<std::int64_t> ranked;
      std::ranges::copy(std::span(placed).subspan(first, num_slots), std::back_inserter(ranked));
      std::ranges::stable_sort(ranked, std::ranges::greater{}, [&](auto e) { return share[e]; });
      for (Index gpu = 0; gpu < num_gpus; ++gpu) {
        moved.push_back(ranked[gpu]);
        moved.push_back(ranked[num_slots - 1 - gpu]);
      }
    }
  }
  return {fixed(), node_shape(), {moved.data(), num_layers_, layout_.num_slots}};
}

void Session::write_better(const ModelSearch& search, std::vector<std::int64_t>& ceilings) {
  for (Index layer = 0; layer < num_layers_; ++layer) {
    if (search.reached(layer) > ceilings[layer]) continue;
    search.write(layer, placed()[layer], counts()[layer]);
    ceilings[layer] = search.reached(layer) - rounding() - 1;
  }
}

bool Session::check() {
  Topology topology{1, 1};
  if (layout_.num_nodes > 1) topology = {layout_.num_groups, layout_.num_nodes};
  const bool is_sound = first_offence(placed(), counts(), topology) < 0;
  if (!is_sound) place_greedily();
  return is_sound;
}

}  // namespace eplb::serving
