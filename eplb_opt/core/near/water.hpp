// What no plan is below.
#pragma once

#include <cstdint>
#include <span>

#include "common/views.hpp"

namespace eplb::near {

// The size of the largest replica when each replica in turn goes to the expert with the largest ones;
// rounded down. `num_slots` is no less than the experts.
std::int32_t largest_replica(std::span<const std::int32_t> weight, Index num_slots);

// The mean load of a GPU, or the largest replica where that is larger; rounded down.
std::int32_t lower_bound(std::span<const std::int32_t> weight, Index num_slots, Index num_gpus);

}  // namespace eplb::near
