// What several searches of this chapter take and give.
#pragma once

#include <algorithm>
#include <cmath>

#include "annealing/best_plans.hpp"
#include "bindings/arrays.hpp"
#include "common/clock.hpp"

namespace eplb::bind {

// A slot holds an expert, and no expert is left out.
inline void require_placement(const Row<const Index>& slots, Index num_slots, Index num_experts) {
  require_size("slots", static_cast<Index>(slots.shape(0)), num_slots);
  require_indices("slots", view(slots), num_experts);
  std::vector<char> stands(num_experts);
  for (const Index expert : view(slots)) stands[expert] = 1;
  for (Index expert = 0; expert < num_experts; ++expert) {
    require(stands[expert] != 0, "Expert " + std::to_string(expert) + " stands in no slot.");
  }
}

// A table has a column for each expert, and a row for each GPU or none at all.
template <typename T>
void require_per_gpu(const char* name, const Matrix<T>& table, Index num_gpus, Index num_experts) {
  require_size(name, static_cast<Index>(table.shape(1)), num_experts);
  if (table.shape(0) > 0) require_size(name, static_cast<Index>(table.shape(0)), num_gpus);
}

inline void require_doublings(int doublings) {
  require(0 <= doublings && doublings <= 60, "doublings is not in 0..60.");
}

// The time that a call may take; below 0 none.
inline Deadline deadline_after(double seconds) {
  require(!std::isnan(seconds), "seconds is not a number.");
  return Deadline::after(std::max(seconds, 0.0));
}

// Where there is no plan in force one best plan is kept, and no slot counts as moved.
inline void require_price(double price, const annealing::BestPlans& best) {
  require(!(price > 0) || best.values().size() > 1,
          "price counts moves from a plan in force, and held has no rows.");
}

inline NumpyRow<Index> copy_of(std::span<const Index> values) {
  return to_numpy(std::vector<Index>(values.begin(), values.end()));
}

inline NumpyRow<double> copy_of(std::span<const double> values) {
  return to_numpy(std::vector<double>(values.begin(), values.end()));
}

}  // namespace eplb::bind
