// One call of the serving path: loads in, a plan out.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "common/numbers.hpp"
#include "greedy/layout.hpp"
#include "greedy/loads.hpp"
#include "serving/fixed_point.hpp"
#include "serving/refinement.hpp"

namespace eplb::serving {

// How the greedy's plan of a layer compares with the plan in force.
enum class Comparison : std::int8_t { worse = -1, too_close = 0, better = 1 };

class Session {
 public:
  // `given` is looked at again by the methods below.
  //
  // Throws std::invalid_argument where the loads cannot be planned.
  Session(const StridedTable& given, const greedy::Layout& layout);

  // Plan greedily, the first time; whoever asks for the plan does so too. Nobody does where `put` has
  // brought another.
  void plan_greedily();

  Table<std::int64_t> placed() {
    plan_greedily();
    return {placed_.data(), num_layers_, layout_.num_slots};
  }
  Table<std::int64_t> counts() {
    plan_greedily();
    return {counts_.data(), num_layers_, layout_.num_experts};
  }

  // Compare with a valid plan in force, [num_layers, num_slots], layer by layer. Loads that differ
  // by no more than fixed point rounds away are too close to say.
  std::vector<Comparison> compare(Table<const std::int64_t> current);

  // Take these layers of that plan in the place of the greedy's.
  void keep(Table<const std::int64_t> current, std::span<const std::uint8_t> layers);

  // Take all layers of a plan, which nothing refines afterwards.
  void put(Table<const std::int64_t> plan);

  // Refine; no layer's largest load rises. Seconds, where given, include what is still to come.
  void refine(Index steps, std::optional<double> seconds);

  // Look at all laws once more. A plan that breaks one gives its place to the greedy's; whether it
  // did not come to that.
  bool check();

 private:
  void place_greedily();
  void take(Table<const std::int64_t> plan, Index layer);
  const FixedLoads& fixed();
  NodeShape node_shape() const;
  bool is_left_alone(Index steps, bool has_deadline) const;
  std::int64_t rounding() const { return 2 * layout_.slots_per_gpu(); }
  std::optional<ModelSearch> other_start(const ModelSearch& least);
  std::optional<ModelSearch> on_lightest_nodes(const ModelSearch& least);
  ModelSearch folded(const ModelSearch& search);
  std::optional<std::vector<std::int64_t>> repartitioned();
  std::vector<std::int64_t> targets(const ModelSearch& search) const;
  std::vector<std::int64_t> placed_on(std::span<const std::int64_t> members);
  void try_other_partitions(const Budget& budget, std::span<const std::int64_t> lightest,
                            std::vector<std::int64_t>& ceilings);
  void write_better(const ModelSearch& search, std::vector<std::int64_t>& ceilings);

  StridedTable given_;
  greedy::Layout layout_;
  Index num_layers_;
  greedy::Loads loads_;
  std::vector<std::int64_t> placed_, counts_;
  std::optional<FixedLoads> fixed_;
  std::vector<std::int64_t> water_;  // of every layer, no plan is below
  bool is_planned_ = false;
  double greedy_seconds_ = 0;
};

}  // namespace eplb::serving
