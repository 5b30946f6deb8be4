#include "near/homes.hpp"

#include <algorithm>
#include <vector>

namespace eplb::near {

namespace {

// Experts without a replica, the heaviest first, for the last ones find little room.
std::vector<std::int32_t> homeless(const State& state) {
  std::vector<std::int32_t> ids;
  for (std::int32_t id = 0; id < std::ssize(state.count); ++id) {
    if (state.count[id] == 0) ids.push_back(id);
  }
  std::ranges::stable_sort(ids, std::ranges::greater{}, [&](auto id) { return state.weight[id]; });
  return ids;
}

// The empty slot of the GPU with the most room, or -1.
Index roomiest_empty(const State& state) {
  Index found = -1;
  for (Index gpu = 0; gpu < state.shape().num_gpus; ++gpu) {
    if (found >= 0 && state.room[gpu] <= state.room[state.gpu_of(found)]) continue;
    for (Index k = 0; k < state.shape().slots_per_gpu; ++k) {
      if (!state.is_empty(state.slot(gpu, k))) continue;
      found = state.slot(gpu, k);
      break;
    }
  }
  return found;
}

}  // namespace

bool give_homes(State& state, Turns& turns) {
  for (const std::int32_t id : homeless(state)) {
    const Action action = turns.settle(state, id);
    if (action.num == 0) return false;
    state.apply(action);
  }
  for (Index at = roomiest_empty(state); at >= 0; at = roomiest_empty(state)) {
    const Action action = turns.fill(state, at);
    if (action.num == 0) return false;
    state.apply(action);
  }
  return true;
}

}  // namespace eplb::near
