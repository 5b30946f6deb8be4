// Kicks: small random changes that lead out of a local optimum.
#pragma once

#include "common/random.hpp"
#include "local/plan.hpp"

namespace eplb::local {

// Give a random replica's slot to another expert, so that no replica grows to the ceiling.
//
// Returns whether such a pair was drawn.
bool transfer(Plan& plan, std::int64_t ceiling, Random& random);

// Swap so many random pairs of replicas between GPUs, without those that change nothing or put an
// expert twice on a GPU where that is forbidden.
void shuffle(Plan& plan, Index swaps, Random& random);

}  // namespace eplb::local
