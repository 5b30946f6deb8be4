// One call of the serving path with a price on what is served away from home.
#pragma once

#include <optional>
#include <vector>

#include "common/numbers.hpp"
#include "greedy/loads.hpp"
#include "serving/fixed_point.hpp"
#include "serving/locality.hpp"
#include "serving/refinement.hpp"

namespace eplb::serving {

// What a layer's plan is worth, loads in fixed point.
struct Worth {
  std::int64_t largest;  // GPU load
  double away;           // served away from home
  double cost;           // the two in one, see Locality::cost
};

// The worth of any valid plan of a layer, under the homes of groups that suit it best; they are
// written to `homes`, the node of each group.
Worth assess(const Locality& locality, const Grid& grid, std::span<const std::int64_t> weight,
             std::span<const std::int64_t> placed, std::span<std::int64_t> homes);

class PricedSession {
 public:
  // Throws std::invalid_argument where the loads cannot be planned.
  PricedSession(const StridedTable& given, const Locality& locality);

  // Plan all layers: by steps a layer, or for so many seconds.
  void plan(Index steps, std::optional<double> seconds);

  // Take a layer of another plan where it costs less; whether it does.
  bool offer(Index layer, std::span<const std::int64_t> placed);

  // Once the layers are planned: few changes to a valid plan in force of one of them, until it costs
  // no more than (1 + tolerance) times its plan, in so many steps at most. False, and `found` is of
  // no use, where that was not reached.
  bool come_near(Index layer, std::span<const std::int64_t> current, double tolerance, Index steps,
                 std::span<std::int64_t> found) const;

  // What no plan with all of a group on one node costs less than.
  double strict_bound(Index layer) const;

  Worth worth_of(Index layer, std::span<const std::int64_t> placed) const;

  Index num_layers() const { return num_layers_; }
  const Locality& locality() const { return locality_; }
  const FixedLoads& fixed() const { return fixed_; }
  Table<const std::int64_t> placed() const {
    return {placed_.data(), num_layers_, locality_.num_slots};
  }
  Table<const std::int64_t> homes() const {
    return {homes_.data(), num_layers_, locality_.num_groups};
  }
  const std::vector<Worth>& worth() const { return worth_; }

 private:
  void begin(Index layer);
  std::int64_t set_parts(Index layer, std::span<std::int64_t> parts);
  void level(const Budget& budget, std::span<const Index> layers);
  bool descend(Index layer, Index steps);
  bool walk(Index layer, std::span<const std::int64_t> homes, std::span<const std::int64_t> current,
            double ceiling, Index steps, std::span<std::int64_t> found) const;

  std::span<std::int64_t> row(Index layer) {
    return std::span(placed_).subspan(layer * locality_.num_slots, locality_.num_slots);
  }
  std::span<std::int64_t> home_row(Index layer) {
    return std::span(homes_).subspan(layer * locality_.num_groups, locality_.num_groups);
  }

  Locality locality_;
  Grid grid_;
  Index num_layers_;
  greedy::Loads loads_;
  FixedLoads fixed_;
  std::vector<std::int64_t> placed_, homes_, targets_;
  std::vector<Worth> worth_;
};

}  // namespace eplb::serving
