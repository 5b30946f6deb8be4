// Kicks: small changes that lead out of a local optimum.
#pragma once

#include "common/random.hpp"
#include "serving/plan.hpp"

namespace eplb::serving {

// Change a plan at random: let another GPU take load from the heaviest one; or, while the heaviest
// is far above `target`, give a random replica's slot to another expert now and then. `weight` are
// the experts' loads; empty where counts stay as they are.
void kick(const Plan& plan, std::span<const std::int64_t> weight, std::int64_t target,
          Random& random);

}  // namespace eplb::serving
