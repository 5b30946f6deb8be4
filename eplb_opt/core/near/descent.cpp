#include "near/descent.hpp"

#include <algorithm>

#include "near/take_back.hpp"

namespace eplb::near {

namespace {

// GPUs that are looked at without finding an action, for every step that a descent may take. Where a
// level cannot be reached there would be nearly as many for each step as there are GPUs.
constexpr Index kVainPerStep = 4;

}  // namespace

Descent::Descent(const Shape& shape)
    : exchanges_(shape), turns_(shape), waits_(shape.num_gpus) {}

// The GPU that is farthest above the level and does not wait, or -1.
Index Descent::heaviest(const State& state) const {
  Index found = -1;
  std::int32_t least = 0;
  for (Index gpu = 0; gpu < std::ssize(waits_); ++gpu) {
    if (state.room[gpu] < least && !waits_[gpu]) found = gpu, least = state.room[gpu];
  }
  return found;
}

// Turns are seldom the best action twice after they were not: they are left out for some steps then.
Action Descent::best_action(State& state, Index gpu) {
  constexpr Index kPause = 2;
  Action best;
  const bool are_turns_looked_at = pause_ == 0;
  if (are_turns_looked_at) turns_.find(state, gpu, best);
  exchanges_.find(state, gpu, best);
  if (best.num == 0 && !are_turns_looked_at) turns_.find(state, gpu, best);
  const bool is_turn = best.num == 1;
  pause_ = is_turn ? 0 : are_turns_looked_at ? kPause : pause_ - 1;
  return best;
}

bool Descent::run(State& state, const Limits& limits) {
  std::ranges::fill(waits_, 0);
  steps_ = pause_ = 0;
  bool is_changed = false;  // since all were looked at last
  Index vain = 0;
  while (steps_ < limits.steps && vain < kVainPerStep * limits.steps) {
    const Index gpu = heaviest(state);
    if (gpu < 0) {
      if (!is_changed) break;
      std::ranges::fill(waits_, 0);
      is_changed = false;
      continue;
    }
    const Action best = best_action(state, gpu);
    if (best.num == 0 || state.price() + state.price_of(best) > limits.most_price) {
      waits_[gpu] = 1;
      ++vain;
      continue;
    }
    state.apply(best);
    for (int i = 0; i < best.num; ++i) waits_[state.gpu_of(best.changes[i].slot)] = 0;
    is_changed = true;
    ++steps_;
  }
  take_back(state);
  return std::ranges::min(state.room) >= 0;
}

}  // namespace eplb::near
