// The first thing after a loss: every expert stands somewhere, and no slot is empty.
#pragma once

#include "near/state.hpp"
#include "near/turns.hpp"

namespace eplb::near {

// Give every expert a slot and every empty slot an expert. Whether both could be done.
bool give_homes(State& state, Turns& turns);

}  // namespace eplb::near
