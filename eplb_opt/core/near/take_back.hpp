// Moves that turn out to be needless, taken back.
#pragma once

#include "near/state.hpp"

namespace eplb::near {

// While no GPU rises above the level: swap what has moved with what stands where it came from, and
// turn what has moved into what stood there in force. Counts stay as they are, or an expert gives up
// one of several replicas.
void take_back(State& state);

}  // namespace eplb::near
