// From the plan in force to one in which no GPU is above the level.
#pragma once

#include <vector>

#include "near/exchanges.hpp"
#include "near/state.hpp"
#include "near/turns.hpp"

namespace eplb::near {

// How long a descent may go on.
struct Limits {
  // Actions, at most; a GPU for which there is none costs a part of one.
  Index steps;
  Index most_price;  // of all moves together
};

class Descent {
 public:
  explicit Descent(const Shape& shape);

  // Take the best action for the heaviest GPU again and again. A GPU for which there is none waits
  // until an action touches it, or all others have had their turn and something has changed. Moves
  // that turned out not to be needed are taken back at the end. Returns whether all GPUs are at the
  // level or below.
  bool run(State& state, const Limits& limits);

  Turns& turns() { return turns_; }
  Index steps() const { return steps_; }  // that the last run took

 private:
  Index heaviest(const State& state) const;
  Action best_action(State& state, Index gpu);

  Exchanges exchanges_;
  Turns turns_;
  std::vector<std::uint8_t> waits_;
  Index steps_ = 0, pause_ = 0;
};

}  // namespace eplb::near
