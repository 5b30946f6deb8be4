// A sweep: every heavy GPU exchanges one replica with its counterpart among the light ones.
#pragma once

#include <vector>

#include "serving/plan.hpp"

namespace eplb::serving {

// Level the heaviest GPU with the lightest, the second with the second, and so on: for each the
// exchange of one for one that brings the two closest together. No GPU's load comes to exceed the
// larger one of its pair, so the largest never rises. `order` is scratch.
void sweep(const Plan& plan, std::vector<Index>& order);

}  // namespace eplb::serving
