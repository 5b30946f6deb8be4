// What a layer's plan is worth where groups have homes that bind nobody.
#pragma once

#include <span>
#include <vector>

#include "serving/locality.hpp"

namespace eplb::serving {

// Loads in fixed point.
struct Worth {
  std::int64_t largest;  // GPU load
  double away;           // served away from home
  double cost;           // the two in one, see Locality::cost
};

// Looks at plans of layers, one after the other.
class Assessor {
 public:
  explicit Assessor(const Locality& locality);

  // Look at any valid plan of a layer.
  void look(std::span<const std::int64_t> weight, std::span<const std::int64_t> placed);

  // Of the plan that was looked at: what is served away from home under any homes, and what it costs
  // at least.
  double least_away() const { return static_cast<double>(total_ - most_kept_); }
  double least_cost() const { return locality_.cost(largest_, least_away()); }
  // What it would cost at least if its GPUs were level.
  double level_cost() const { return total() + locality_.price * least_away(); }
  double total() const { return static_cast<double>(total_); }

  // Its worth under the homes that suit it best, which are written to `homes`, the node of each group.
  Worth worth(std::span<std::int64_t> homes) const;

 private:
  const Locality locality_;
  const Grid grid_;
  std::vector<std::int64_t> size_, load_, served_;
  std::vector<std::int32_t> count_;
  std::int64_t total_ = 0, largest_ = 0, most_kept_ = 0;
};

// What no plan with all of a group on one node costs less than, or `enough` where it is clear that
// the cost is no less than that.
double strict_bound(const Locality& locality, std::span<const std::int64_t> weight, double enough);

}  // namespace eplb::serving
