// Large replicas are split before the loads are levelled.
#pragma once

#include "near/state.hpp"
#include "near/turns.hpp"

namespace eplb::near {

// Turn replicas that are needed least into replicas of experts whose own are far larger than they
// would have to be. Levelling alone keeps the counts of long ago: it finds a place for a hot expert's
// few large replicas, which the next change of the loads then throws off balance.
//
// `least` is the size of the largest replica when all slots are given out anew; nothing costs more
// than `most_price` together with what has moved before.
void split_large(State& state, Turns& turns, std::int32_t least, Index most_price);

}  // namespace eplb::near
