// Re-partition: all replicas of the heaviest GPU and two others are dealt out anew.
#pragma once

#include "common/random.hpp"
#include "local/deals.hpp"
#include "local/plan.hpp"

namespace eplb::local {

// Deal the replicas of three GPUs out so that the largest load of the three, which is the first
// one's, falls.
//
// Returns whether it fell; the plan is left as it is where it cannot.
bool redeal(Plan& plan, const Deals& deals, Index heavy, Index second, Index third);

// Re-partition the heaviest GPU with the first two others that help, from a random one on.
bool redeal_any(Plan& plan, const Deals& deals, Index heavy, Random& random);

}  // namespace eplb::local
