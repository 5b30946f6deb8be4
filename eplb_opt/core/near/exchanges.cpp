#include "near/exchanges.hpp"

#include <algorithm>
#include <cstring>

#include "common/inline.hpp"
#include "common/lanes.hpp"
#include "common/octets.hpp"

namespace eplb::near {

namespace {

struct Rows {
  const std::int32_t* size;
  const std::int32_t* room;
  Index num_rows, stride;
};

// By how much a swap of a replica of one size with any other brings both GPUs below the level, for
// eight GPUs: the load that moves is of use up to the excess here, and up to the room there.
EPLB_INLINE SignedOctet swap_gains(const Rows& rows, Index gpu, std::int32_t given,
                                   std::int32_t excess) {
  SignedOctet room, size, most = SignedOctet{};
  load(room, rows.room + gpu);
  SignedOctet limit = SignedOctet{} + excess;
  lower(limit, room);
  const SignedOctet both = room + excess;
  for (Index k = 0; k < rows.num_rows; ++k) {
    load(size, rows.size + k * rows.stride + gpu);
    const SignedOctet moved = given - size;
    SignedOctet gain = both - moved;
    lower(gain, moved);
    lower(gain, limit);
    raise(most, gain);
  }
  return most;
}

// The largest gain of a swap of one replica.
struct LargestGain {
  Rows rows;
  std::int32_t given, excess, gain = 0;

  EPLB_INLINE void run() {
    SignedOctet most = SignedOctet{};
    for (Index gpu = 0; gpu < rows.stride; gpu += kOctet) {
      raise(most, swap_gains(rows, gpu, given, excess));
    }
    gain = most_of(most);
  }
};

// The least room that a swap with that gain leaves.
struct LeastUnused {
  Rows rows;
  std::int32_t given, excess, gain, unused = kFar;

  EPLB_INLINE void run() {
    SignedOctet least = SignedOctet{} + kFar;
    for (Index gpu = 0; gpu < rows.stride; gpu += kOctet) {
      SignedOctet room, size;
      load(room, rows.room + gpu);
      SignedOctet limit = SignedOctet{} + excess;
      lower(limit, room);
      for (Index k = 0; k < rows.num_rows; ++k) {
        load(size, rows.size + k * rows.stride + gpu);
        const SignedOctet moved = given - size;
        SignedOctet found = room + excess - moved;
        lower(found, moved);
        lower(found, limit);
        SignedOctet left = room - moved;
        raise(left, SignedOctet{});
        lower(least, found == gain ? left : SignedOctet{} + kFar);
      }
    }
    unused = least_of(least);
  }
};

// The largest replica that every GPU can take for one that is small enough to mend the heavy GPU.
struct LargestTaken {
  Rows rows;
  std::int32_t small;  // what is small enough
  std::int32_t* taken;
  std::int32_t most = -1;

  EPLB_INLINE void run() {
    SignedOctet largest = SignedOctet{} - 1;
    for (Index gpu = 0; gpu < rows.stride; gpu += kOctet) {
      SignedOctet room, size, given = SignedOctet{} - 1;
      load(room, rows.room + gpu);
      for (Index k = 0; k < rows.num_rows; ++k) {
        load(size, rows.size + k * rows.stride + gpu);
        raise(given, size <= small ? size : SignedOctet{} - 1);
      }
      given = (room > 0) & (given >= 0) ? room + given : SignedOctet{} - 1;
      store(given, taken + gpu);
      raise(largest, given);
    }
    most = most_of(largest);
  }
};

// Which GPUs above the level have a replica that can go on when the heavy GPU's takes its place: one
// that leaves them at the level, and that some GPU can take.
struct HaveSecond {
  Rows rows;
  std::int32_t given, most;
  std::int32_t* have;  // 0 for a GPU that has none

  EPLB_INLINE void run() {
    for (Index gpu = 0; gpu < rows.stride; gpu += kOctet) {
      SignedOctet room, size, found = SignedOctet{};
      load(room, rows.room + gpu);
      const SignedOctet least = given - room;
      for (Index k = 0; k < rows.num_rows; ++k) {
        load(size, rows.size + k * rows.stride + gpu);
        found |= (size >= least) & (size <= most);
      }
      store(found & (room < 0), have + gpu);
    }
  }
};

// What is left of the smallest that is large enough.
struct LeastLeft {
  const std::int32_t* taken;
  Index stride;
  std::int32_t size, left = kFar;

  EPLB_INLINE void run() {
    SignedOctet least = SignedOctet{} + kFar, most;
    for (Index gpu = 0; gpu < stride; gpu += kOctet) {
      load(most, taken + gpu);
      lower(least, most >= size ? most - size : SignedOctet{} + kFar);
    }
    left = least_of(least);
  }
};

}  // namespace

Exchanges::Exchanges(const Shape& shape)
    : shape_(shape),
      stride_(shape.stride()),
      room_of_(shape.slots_per_gpu),
      swap_gain_(shape.slots_per_gpu),
      taken_(shape.stride()),
      have_second_(shape.stride()) {
  if (!shape.is_apart) return;
  hidden_sizes_.resize(shape.table_size());
  hidden_rooms_.resize(shape.slots_per_gpu * stride_);
}

void Exchanges::find(State& state, Index heavy, Action& best) {
  heavy_ = heavy;
  excess_ = -state.room[heavy];
  is_any_new_ = state.moves_of(heavy) > 0;
  lend_views(state);
  find_swap_with_new(state, best);
  find_swap(state, best);
  find_chain(state, best);
}

void Exchanges::lend_views(const State& state) {
  size_ = state.size.data();
  std::ranges::fill(room_of_, state.room.data());
  if (shape_.is_apart) hide_what_may_not_come(state);
}

// No GPU may get an expert that it holds: neither the heavy one, nor those that hold what it gives.
void Exchanges::hide_what_may_not_come(const State& state) {
  hidden_sizes_ = state.size;
  size_ = hidden_sizes_.data();
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    std::int32_t* rooms = hidden_rooms_.data() + k * stride_;
    std::ranges::copy(state.room, rooms);
    room_of_[k] = rooms;
    const std::int32_t id = state.expert[state.slot(heavy_, k)];
    if (id < 0 || state.count[id] < 2) continue;
    for (Index at = 0; at < shape_.table_size(); ++at) {
      if (state.expert[at] != id || state.gpu_of(at) == heavy_) continue;
      hidden_sizes_[at] = kFar;
      rooms[state.gpu_of(at)] = 0;
    }
  }
}

std::int32_t Exchanges::swap_gain(std::int32_t room, std::int32_t moved) const {
  return std::min({moved, room, excess_, room + excess_ - moved});
}

void Exchanges::offer(State& state, Action& action, std::int64_t gain, Action& best) const {
  if (gain <= 0) return;
  action.score = gain * worth_of_price(state.price_of(action));
  if (action.is_better_than(best) && state.is_allowed(action)) best = action;
}

void Exchanges::find_swap(State& state, Action& best) {
  // A replica that came here with a move can go on for one move less.
  const auto worth = [&](Index k) {
    return worth_of_price(state.is_new[state.slot(heavy_, k)] ? 1 : 2);
  };
  const auto score = [&](Index k) { return swap_gain_[k] * worth(k); };
  std::int64_t most = 0;
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    swap_gain_[k] = 0;
    // No swap gains more than the excess.
    if (excess_ * worth(k) < std::max(most, best.score)) continue;
    LargestGain largest{{size_, room_of_[k], shape_.slots_per_gpu, stride_},
                        state.size[state.slot(heavy_, k)],
                        excess_};
    with_widest_vectors(largest);
    swap_gain_[k] = largest.gain;
    most = std::max(most, score(k));
  }
  if (most == 0 || most < best.score) return;
  Index given = -1;
  std::int32_t unused = kFar;
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    if (score(k) != most) continue;
    LeastUnused least{{size_, room_of_[k], shape_.slots_per_gpu, stride_},
                      state.size[state.slot(heavy_, k)],
                      excess_,
                      swap_gain_[k]};
    with_widest_vectors(least);
    if (given < 0 || least.unused < unused) given = k, unused = least.unused;
  }
  const Index from = state.slot(heavy_, given);
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) {
    const std::int32_t room = room_of_[given][gpu];
    if (room <= 0) continue;
    for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
      const Index at = state.slot(gpu, k);
      const std::int32_t gain = swap_gain(room, state.size[from] - size_[at]);
      if (gain != swap_gain_[given] || std::max(room - state.size[from] + size_[at], 0) != unused) continue;
      Action action = swap_of(state, from, at);
      action.unused = unused;
      return offer(state, action, gain, best);
    }
  }
}

// Replicas that came with a move go on, or back, for one move less.
void Exchanges::find_swap_with_new(State& state, Action& best) {
  if (state.moves() == 0) return;
  missing_.clear();
  state.at_each_missing(heavy_, [&](std::int32_t id) { missing_.push_back(id); });
  // Few are new: whole rows of a table's octets are passed over.
  for (Index first = 0; first < shape_.table_size(); first += kOctet) {
    std::uint64_t any = 0;
    static_assert(sizeof any == kOctet);
    std::memcpy(&any, state.is_new.data() + first, sizeof any);
    if (any == 0) continue;
    for (Index at = first; at < first + kOctet; ++at) {
      if (state.is_new[at] && state.room[state.gpu_of(at)] > 0) find_swap_with(state, at, best);
    }
  }
}

void Exchanges::find_swap_with(State& state, Index at, Action& best) {
  const Index gpu = state.gpu_of(at);
  const bool is_home = std::ranges::find(missing_, state.expert[at]) != missing_.end();
  const std::int64_t most = std::min(state.room[gpu], excess_);
  if (!is_home && !is_any_new_ && most * worth_of_price(1) <= best.score) return;
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    const Index from = state.slot(heavy_, k);
    const std::int32_t room = room_of_[k][gpu], moved = state.size[from] - size_[at];
    const std::int32_t gain = swap_gain(room, moved);
    if (gain <= 0 || gain * worth_of_price(state.is_new[from] || is_home ? 0 : 1) <= best.score) continue;
    Action action = swap_of(state, from, at);
    action.unused = std::max(room - moved, 0);
    offer(state, action, gain, best);
  }
}

// The chains that begin with a replica of the heavy GPU.
void Exchanges::look_for_chains(const State& state, Index given) {
  const Index first = state.slot(heavy_, given);
  if (state.size[first] <= excess_) return;
  const std::int64_t most = std::int64_t{excess_} - state.room[above_.front()];
  if (most * worth_of_price(state.is_new[first] ? 1 : 2) < chain_.score) return;
  LargestTaken largest{{size_, room_of_[given], shape_.slots_per_gpu, stride_},
                       state.size[first] - excess_,
                       taken_.data()};
  with_widest_vectors(largest);
  HaveSecond seconds{{size_, room_of_[given], shape_.slots_per_gpu, stride_},
                     state.size[first],
                     largest.most,
                     have_second_.data()};
  with_widest_vectors(seconds);
  for (const Index gpu : above_) {
    if (have_second_[gpu] == 0) continue;
    const std::int64_t relief = std::int64_t{excess_} - state.room[gpu];
    // What has moved before goes on for one move less.
    const Index least_price = 3 - state.is_new[first] - (state.moves_of(gpu) > 0);
    if (relief * worth_of_price(least_price) < chain_.score) continue;
    const std::int32_t least_given = state.size[first] - state.room[gpu];
    for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
      const Index second = state.slot(gpu, k);
      if (size_[second] < least_given || size_[second] > largest.most) continue;
      const Index price = 3 - state.is_new[first] - state.is_new[second];
      const std::int64_t score = relief * worth_of_price(price);
      if (score < chain_.score) continue;
      LeastLeft least{taken_.data(), stride_, size_[second]};
      with_widest_vectors(least);
      if (score == chain_.score && least.left >= chain_.unused) continue;
      chain_ = {first, second, -1, relief, score, least.left};
    }
  }
}

// The other GPUs above the level, the heaviest first.
void Exchanges::list_above(const State& state) {
  above_.clear();
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) {
    if (gpu != heavy_ && state.room[gpu] < 0) above_.push_back(gpu);
  }
  std::ranges::sort(above_, [&](Index a, Index b) {
    return state.room[a] != state.room[b] ? state.room[a] < state.room[b] : a < b;
  });
}

void Exchanges::find_chain(State& state, Action& best) {
  // No other is farther above the level.
  if (2 * std::int64_t{excess_} * worth_of_price(1) < best.score) return;
  list_above(state);
  if (above_.empty()) return;
  chain_ = {};
  chain_.score = best.score;
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) look_for_chains(state, k);
  if (chain_.first < 0) return;
  // The slot that takes it is the one that leaves what was found.
  const Index given = chain_.first / stride_;
  const std::int32_t largest = state.size[chain_.first] - excess_;
  for (Index gpu = 0; gpu < shape_.num_gpus && chain_.third < 0; ++gpu) {
    if (room_of_[given][gpu] <= 0) continue;
    for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
      const Index at = state.slot(gpu, k);
      const std::int32_t left = room_of_[given][gpu] + size_[at] - size_[chain_.second];
      if (size_[at] <= largest && left == chain_.unused) chain_.third = at;
    }
  }
  Action action;
  action.unused = chain_.unused;
  action.add(chain_.second, state.expert[chain_.first]);
  action.add(chain_.third, state.expert[chain_.second]);
  action.add(chain_.first, state.expert[chain_.third]);
  offer(state, action, chain_.relief, best);
}

}  // namespace eplb::near
