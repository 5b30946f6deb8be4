// Two slots a GPU: the counts are the only decision, heaviest with lightest the best pairing.
#pragma once

#include "common/random.hpp"
#include "serving/plan.hpp"

namespace eplb::serving {

// A folded plan has its replicas by descending size: the heaviest on the first slots of GPUs 0, 1,
// ..., the others on the second slots of the last GPU, the one before, ...
//
// Move one replica's slot from a random expert to one on the heaviest GPU, where no GPU's load comes
// to exceed the largest so far. `trial` is scratch, of the plan's shape.
void shift_copy(const Plan& plan, const Plan& trial, std::span<const std::int64_t> weight,
                Random& random);

}  // namespace eplb::serving
