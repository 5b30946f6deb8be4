#include "near/splits.hpp"

namespace eplb::near {

namespace {

// How much larger than needed a replica may be, as a part of that.
constexpr double kLarger = 1.5;

// The expert with the largest replicas, or -1 where none is larger than the limit.
std::int32_t largest_above(const State& state, std::int32_t limit) {
  std::int32_t found = -1, most = limit;
  for (std::int32_t id = 0; id < std::ssize(state.count); ++id) {
    if (state.count[id] == 0 || state.weight[id] <= most) continue;  // no division for most
    const std::int32_t size = state.weight[id] / state.count[id];
    if (size > most) found = id, most = size;
  }
  return found;
}

}  // namespace

void split_large(State& state, Turns& turns, std::int32_t least, Index most_price) {
  const auto limit = static_cast<std::int32_t>(static_cast<double>(least) * kLarger);
  for (std::int32_t id = largest_above(state, limit); id >= 0; id = largest_above(state, limit)) {
    const Action action = turns.split(state, id, limit);
    if (action.num == 0 || state.price() + state.price_of(action) > most_price) return;
    state.apply(action);
  }
}

}  // namespace eplb::near
