// Loads in fixed point as callers hand them over.
#pragma once

#include "bindings/arrays.hpp"
#include "serving/fixed_point.hpp"

namespace eplb::bind {

// Loads in fixed point, of which twice a sum still fits.
inline void require_weights(std::span<const std::int64_t> weights) {
  std::int64_t sum = 0;
  for (const std::int64_t weight : weights) {
    require(weight >= 0 && weight < std::int64_t{1} << serving::kTotalBits,
            "A weight is negative or past 2**58.");
    sum += weight;
    require(sum <= std::int64_t{1} << serving::kTotalBits, "Weights add up to more than 2**58.");
  }
}

}  // namespace eplb::bind
