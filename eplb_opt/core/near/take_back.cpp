#include "near/take_back.hpp"

namespace eplb::near {

namespace {

bool is_cheaper(const State& state, const Action& action) {
  return state.price_of(action) < 0 && state.is_allowed(action);
}

// Whether a swap costs less than nothing and keeps both GPUs at the level, if they are there.
bool is_gain(const State& state, Index a, Index b) {
  const std::int32_t moved = state.size[a] - state.size[b];
  const Index from = state.gpu_of(a), to = state.gpu_of(b);
  const bool is_level = (moved >= 0 || state.room[from] + moved >= 0) &&
                        (moved <= 0 || state.room[to] - moved >= 0);
  return is_level && is_cheaper(state, swap_of(state, a, b));
}

// Whether the price has fallen: what a GPU holds twice may cost another slot's move.
bool take(State& state, const Action& action) {
  const Index before = state.price();
  state.apply(action);
  return state.price() < before;
}

// A replica that has moved to `at`, in trade for one on a GPU that lacks it.
bool sends_back(State& state, Index at) {
  Index found = -1;
  state.at_each_held(state.expert[at], [&](Index home) {
    const Index gpu = state.gpu_of(home);
    if (found >= 0 || gpu == state.gpu_of(at) || !state.is_missing(gpu, state.expert[at])) return;
    for (Index k = 0; k < state.shape().slots_per_gpu && found < 0; ++k) {
      if (is_gain(state, at, state.slot(gpu, k))) found = state.slot(gpu, k);
    }
  });
  return found >= 0 && take(state, swap_of(state, at, found));
}

// In the place of a replica that has moved to `at`, one that stood on its GPU in force.
bool calls_back(State& state, Index at) {
  const Shape& shape = state.shape();
  const Index gpu = state.gpu_of(at);
  for (Index k = 0; k < shape.slots_per_gpu; ++k) {
    const std::int32_t id = state.held[state.slot(gpu, k)];
    if (id < 0 || !state.is_missing(gpu, id)) continue;
    if (state.count[state.expert[at]] > 1) {
      Action turn;
      turn.add(at, id);
      if (is_cheaper(state, turn) && state.gain_of(turn) >= 0) return take(state, turn);
    }
    Index found = -1;
    state.at_each(id, [&](Index other) {
      if (found < 0 && state.gpu_of(other) != gpu && is_gain(state, at, other)) found = other;
    });
    if (found >= 0) return take(state, swap_of(state, at, found));
  }
  return false;
}

}  // namespace

void take_back(State& state) {
  for (Index at = 0; at < state.shape().table_size(); ++at) {
    while (state.is_new[at] && (sends_back(state, at) || calls_back(state, at))) {
    }
  }
}

}  // namespace eplb::near
