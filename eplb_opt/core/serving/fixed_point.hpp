// Loads as integers, exactly where they fit.
#pragma once

#include <span>
#include <vector>

#include "common/numbers.hpp"

namespace eplb::serving {

// Bits of a layer's total in fixed point; twice a GPU load and a flag fit above.
constexpr int kTotalBits = 58;

struct FixedLoads {
  std::vector<std::int64_t> weights;  // [num_layers, num_experts], a layer's below 2**kTotalBits
  std::vector<double> unit;           // what one of them is worth, a power of two, [num_layers]
  Index num_experts;

  std::span<const std::int64_t> layer(Index i) const {
    return std::span(weights).subspan(i * num_experts, num_experts);
  }
};

// Throws std::invalid_argument where integers add up to 2**62 or more; `totals` are the layers' sums.
void require_exact(const StridedTable& loads, std::span<const double> totals);

// Nothing is lost but what lies below the unit: less than one unit an expert, where a layer's loads
// differ by more bits than there are. The loads have passed `require_exact`.
FixedLoads fixed_point(const StridedTable& loads, std::span<const double> totals);

}  // namespace eplb::serving
