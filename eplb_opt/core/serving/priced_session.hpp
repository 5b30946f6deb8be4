// One call of the serving path with a price on what is served away from home.
#pragma once

#include <optional>
#include <vector>

#include "common/clock.hpp"
#include "common/numbers.hpp"
#include "greedy/loads.hpp"
#include "serving/fixed_point.hpp"
#include "serving/locality.hpp"
#include "serving/node_packing.hpp"
#include "serving/node_pairs.hpp"
#include "serving/node_shares.hpp"
#include "serving/priced_search.hpp"
#include "serving/worth.hpp"

namespace eplb::serving {

class PricedSession {
 public:
  // Throws std::invalid_argument where the loads cannot be planned.
  PricedSession(const StridedTable& given, const Locality& locality);

  // Plan all layers: by steps a layer, or for so many seconds.
  void plan(Index steps, std::optional<double> seconds);

  // Take a layer of another plan where it costs less; whether it does.
  bool offer(Index layer, std::span<const std::int64_t> placed);

  // Whether the plan that was offered last would cost next to nothing but its load if its GPUs were
  // level: then levelling it is all that is left to do.
  bool is_nearly_free() const;

  // Once the layers are planned: few changes to a valid plan in force of one of them, until it costs
  // no more than (1 + tolerance) times its plan, in so many steps at most. False, and `found` is of
  // no use, where that was not reached.
  bool come_near(Index layer, std::span<const std::int64_t> current, double tolerance, Index steps,
                 std::span<std::int64_t> found);

  // What no plan with all of a group on one node costs less than, where that is below the cost of the
  // layer's plan.
  double strict_bound(Index layer) const {
    return serving::strict_bound(locality_, fixed_.layer(layer), worth_[layer].cost);
  }

  Worth worth_of(Index layer, std::span<const std::int64_t> placed);

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
  void begin_with_pairs(Index layer, std::span<const Index> homes);
  void begin_at_home(Index layer, std::span<const Index> homes);
  void search(Index steps);
  void finish(Index layer);
  void by_need(const Deadline& deadline);
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
  std::vector<std::int64_t> placed_, homes_;
  std::vector<Worth> worth_;
  // What serves one layer after the other.
  NodeShares shares_;
  NodePacking packing_;
  NodePairs pairs_;
  PricedSearch search_;
  Assessor assessor_;
};

}  // namespace eplb::serving
