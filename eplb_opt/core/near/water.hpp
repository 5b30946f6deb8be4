// What no plan is below.
#pragma once

#include <cstdint>
#include <span>

#include "common/views.hpp"

namespace eplb::near {

// The mean load of a GPU, or the size of the largest replica when each replica in turn goes to the
// expert with the largest ones; rounded down. `num_slots` is no less than the experts.
std::int32_t lower_bound(std::span<const std::int32_t> weight, Index num_slots, Index num_gpus);

}  // namespace eplb::near
