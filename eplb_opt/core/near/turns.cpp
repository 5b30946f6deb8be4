#include "near/turns.hpp"

#include <algorithm>

#include "common/inline.hpp"
#include "common/lanes.hpp"
#include "common/octets.hpp"

namespace eplb::near {

namespace {

// The expert that one slot is best turned into.
struct BestExpert {
  const std::int32_t *relief, *fresh;
  Index num;          // whole vectors
  std::int32_t room;  // of the slot's GPU once the slot is empty
  std::int32_t most = 0;

  std::int32_t worth(Index id) const { return relief[id] - std::max(fresh[id] - room, 0); }

  EPLB_INLINE void run() {
    SignedOctet found = SignedOctet{} - kFar, size, gain;
    for (Index id = 0; id < num; id += kOctet) {
      load(size, fresh + id);
      load(gain, relief + id);
      size -= room;
      raise(size, SignedOctet{});
      raise(found, gain - size);
    }
    most = most_of(found);
  }
};

// The slot that is best turned into one expert.
struct BestSlot {
  const Copies& copies;
  Index num;  // whole vectors
  std::int32_t fresh, id;
  std::int32_t most = 0;

  std::int32_t worth(Index i) const {
    if (copies.expert[i] == id) return -kFar;
    return copies.above[i] - std::max(fresh - copies.left[i], 0) - copies.cost[i];
  }

  EPLB_INLINE void run() {
    SignedOctet found = SignedOctet{} - kFar, left, above, cost, expert;
    for (Index i = 0; i < num; i += kOctet) {
      load(left, copies.left.data() + i);
      load(above, copies.above.data() + i);
      load(cost, copies.cost.data() + i);
      load(expert, copies.expert.data() + i);
      left = fresh - left;
      raise(left, SignedOctet{});
      raise(found, expert == id ? SignedOctet{} - kFar : above - left - cost);
    }
    most = most_of(found);
  }
};

}  // namespace

Turns::Turns(const Shape& shape)
    : shape_(shape),
      above_(shape.num_gpus),
      cost_of_(shape.num_experts),
      relief_(padded(shape.num_experts)) {
  const Index size = padded(shape.num_slots());
  for (auto* numbers : {&copies_.left, &copies_.above, &copies_.cost, &copies_.expert}) {
    numbers->resize(size);
  }
  copies_.slot.resize(size);
  copies_.gpu.resize(size);
}

void Turns::find(State& state, Index heavy, Action& best) {
  list_copies(state, heavy);
  sum_reliefs(state);
  find_elsewhere(state, heavy, best);
  find_here(state, heavy, best);
}

void Turns::list_copies(const State& state, Index heavy) {
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) above_[gpu] = state.above(gpu);
  copies_.num = 0;
  const Index num_gpus = shape_.num_gpus, stride = shape_.stride();
  const std::int32_t* grow = state.grow.data();
  for (Index first = 0; first < shape_.table_size(); first += stride, grow += stride) {
    for (Index gpu = 0; gpu < num_gpus; ++gpu) {
      if (grow[gpu] >= 0) add_copy(state, first + gpu, gpu);
    }
  }
  // An expert's replicas are met again for what all the others of them would add.
  for (Index i = 0; i < copies_.num; ++i) cost_of_[copies_.expert[i]] = 0;
  for (Index i = 0; i < copies_.num; ++i) cost_of_[copies_.expert[i]] += copies_.cost[i];
  for (Index i = 0; i < copies_.num; ++i) {
    copies_.cost[i] = cost_of_[copies_.expert[i]] - copies_.cost[i];
    // Those of the heavy GPU itself are looked at apart.
    if (copies_.gpu[i] == heavy) copies_.above[i] = -kFar;
  }
  for (Index i = copies_.num; i < padded(copies_.num); ++i) copies_.above[i] = -kFar;
}

void Turns::add_copy(const State& state, Index at, Index gpu) {
  const Index i = copies_.num++;
  copies_.slot[i] = at;
  copies_.gpu[i] = gpu;
  copies_.left[i] = state.room[gpu] + state.size[at];
  copies_.above[i] = above_[gpu];
  copies_.cost[i] = std::max(state.grow[at] - state.room[gpu], 0) - above_[gpu];
  copies_.expert[i] = state.expert[at];
}

void Turns::sum_reliefs(const State& state) {
  std::ranges::fill(relief_, 0);
  std::fill(relief_.begin() + shape_.num_experts, relief_.end(), -kFar / 2);
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) {
    if (state.room[gpu] >= 0) continue;
    for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
      const Index at = state.slot(gpu, k);
      if (state.is_empty(at)) continue;
      relief_[state.expert[at]] += std::min(-state.room[gpu], state.shrink[at]);
    }
  }
}

// Whether it may be better than the best so far: GPUs that both experts share make a rough gain too
// large or too small.
bool Turns::is_promising(std::int64_t gain, const Action& best) const {
  return gain > 0 && (gain + gain / 4) * worth_of_price(1) > best.score;
}

void Turns::offer(State& state, Index at, std::int32_t id, Action& best) const {
  Action action;
  action.add(at, id);
  if (!state.is_allowed(action)) return;
  const std::int64_t gain = state.gain_of(action);
  if (gain <= 0) return;
  action.score = gain * worth_of_price(state.price_of(action));
  if (action.is_better_than(best)) best = action;
}

// An expert of the heavy GPU gets one more replica elsewhere.
void Turns::find_elsewhere(State& state, Index heavy, Action& best) {
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    const std::int32_t id = state.expert[state.slot(heavy, k)];
    if (id < 0) continue;
    BestSlot slot{copies_, padded(copies_.num), state.fresh[id], id};
    with_widest_vectors(slot);
    if (!is_promising(slot.most + relief_[id], best)) continue;
    Index i = 0;
    while (slot.worth(i) != slot.most) ++i;
    offer(state, copies_.slot[i], id, best);
  }
}

// A replica of the heavy GPU becomes another expert's.
void Turns::find_here(State& state, Index heavy, Action& best) {
  // The turned slot's own relief would count twice.
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    const std::int32_t id = state.expert[state.slot(heavy, k)];
    if (id >= 0) relief_[id] = -kFar / 2;
  }
  for (Index i = 0; i < copies_.num; ++i) {
    if (copies_.gpu[i] != heavy) continue;
    BestExpert expert{relief_.data(), state.fresh.data(), std::ssize(relief_), copies_.left[i]};
    with_widest_vectors(expert);
    if (!is_promising(expert.most - state.room[heavy] - copies_.cost[i], best)) continue;
    std::int32_t id = 0;
    while (expert.worth(id) != expert.most) ++id;
    offer(state, copies_.slot[i], id, best);
  }
}

Action Turns::fill(const State& state, Index at) {
  sum_reliefs(state);
  Action best;
  const Index gpu = state.gpu_of(at);
  std::int64_t most = 0;
  for (std::int32_t id = 0; id < shape_.num_experts; ++id) {
    Action action;
    action.add(at, id);
    if (!state.is_allowed(action)) continue;
    // Where nothing is above the level, the largest replica gets help.
    const std::int64_t largest = state.count[id] > 0 ? state.weight[id] / state.count[id] : kFar;
    const std::int64_t gain = relief_[id] - (state.above(gpu, state.fresh[id]) - state.above(gpu));
    const std::int64_t worth = gain * (std::int64_t{2} * kFar) + largest;
    if (best.num == 0 || worth > most) {
      most = worth;
      best = action;
    }
  }
  return best;
}

Action Turns::split(const State& state, std::int32_t id, std::int32_t limit) {
  list_copies(state, -1);
  Action best;
  std::int32_t least = 0, most_left = 0;
  for (Index i = 0; i < copies_.num; ++i) {
    const Index at = copies_.slot[i];
    if (copies_.expert[i] == id || state.size[at] + state.grow[at] > limit) continue;
    const std::int32_t left = copies_.left[i] - state.fresh[id];
    const std::int32_t cost = copies_.cost[i] + std::max(-left, 0) - copies_.above[i];
    if (best.num > 0 && (cost > least || (cost == least && left <= most_left))) continue;
    Action action;
    action.add(at, id);
    if (!state.is_allowed(action)) continue;
    best = action;
    least = cost;
    most_left = left;
  }
  return best;
}

Action Turns::settle(const State& state, std::int32_t id) {
  // An empty slot has to be filled anyway: where there is one, no replica gives way.
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) above_[gpu] = state.above(gpu);
  copies_.num = 0;
  for (Index at = 0; at < shape_.table_size(); ++at) {
    if (state.gpu_of(at) >= shape_.num_gpus || !state.is_empty(at)) continue;
    add_copy(state, at, state.gpu_of(at));
    copies_.cost[copies_.num - 1] = 0;
  }
  if (copies_.num == 0) list_copies(state, -1);
  Action best;
  std::int32_t least = 0, most_left = 0;
  for (Index i = 0; i < copies_.num; ++i) {
    const std::int32_t left = copies_.left[i] - state.weight[id];
    const std::int32_t cost = copies_.cost[i] + std::max(-left, 0) - copies_.above[i];
    if (best.num > 0 && (cost > least || (cost == least && left <= most_left))) continue;
    best = {};
    best.add(copies_.slot[i], id);
    least = cost;
    most_left = left;
  }
  return best;
}

}  // namespace eplb::near
