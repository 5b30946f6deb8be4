#include "near/state.hpp"

#include <algorithm>

namespace eplb::near {

State::State(const Shape& shape)
    : expert(shape.table_size(), -1),
      size(shape.table_size(), kFar),
      shrink(shape.table_size()),
      grow(shape.table_size(), -1),
      is_new(shape.table_size()),
      room(shape.stride()),
      count(shape.num_experts),
      fresh(padded(shape.num_experts)),
      held(shape.table_size(), -1),
      shape_(shape),
      stride_(shape.stride()),
      gpu_of_(shape.table_size()),
      first_(shape.num_experts),
      next_(shape.table_size()),
      first_held_(shape.num_experts),
      next_held_(shape.table_size()),
      is_kept_(shape.table_size()),
      moves_of_(shape.num_gpus),
      price_of_gpu_(shape.num_gpus),
      kept_at_(shape.table_size()),
      change_(shape.stride()) {
  for (Index at = 0; at < shape.table_size(); ++at) gpu_of_[at] = at % stride_;
}

void State::start(std::span<const std::int32_t> loads, std::span<const std::int32_t> placed) {
  weight = loads;
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) {
    for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
      held[slot(gpu, k)] = placed[gpu * shape_.slots_per_gpu + k];
    }
  }
  std::ranges::fill(first_held_, -1);
  for (Index at = std::ssize(held) - 1; at >= 0; --at) {
    if (held[at] < 0) continue;
    next_held_[at] = first_held_[held[at]];
    first_held_[held[at]] = at;
  }
}

void State::reset(std::int32_t level) {
  level_ = level;
  moves_ = price_ = 0;
  expert = held;
  first_ = first_held_;
  next_ = next_held_;
  std::ranges::fill(count, 0);
  std::ranges::fill(moves_of_, 0);
  std::ranges::fill(price_of_gpu_, 0);
  for (const std::int32_t id : expert) {
    if (id >= 0) ++count[id];
  }
  for (Index id = 0; id < shape_.num_experts; ++id) {
    fresh[id] = count[id] == 1 ? weight[id] / 2 : weight[id] / (count[id] + 1);
  }
  std::ranges::fill(room, 0);
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) {
    room[gpu] = level;
    for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
      const Index at = slot(gpu, k);
      const std::int32_t id = expert[at];
      is_new[at] = 0;
      is_kept_[at] = id >= 0;
      kept_at_[at] = id < 0 ? -1 : static_cast<std::int32_t>(at);
      set_sizes(at);
      room[gpu] -= size[at];
    }
  }
}

void State::set_sizes(Index at) {
  const std::int32_t id = expert[at];
  if (id < 0) {
    size[at] = shrink[at] = 0;
    grow[at] = -1;
    return;
  }
  // Most experts stand alone, and divisions are slow.
  const bool is_alone = count[id] == 1;
  size[at] = is_alone ? weight[id] : weight[id] / count[id];
  shrink[at] = size[at] - fresh[id];
  grow[at] = is_alone ? -1 : weight[id] / (count[id] - 1) - size[at];
}

std::int32_t State::largest_load() const {
  return level_ - *std::min_element(room.begin(), room.begin() + shape_.num_gpus);
}

bool State::holds(Index gpu, std::int32_t id) const {
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    if (expert[slot(gpu, k)] == id) return true;
  }
  return false;
}

bool State::is_missing(Index gpu, std::int32_t id) const {
  if (moves_of_[gpu] == 0) return false;
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    const Index at = slot(gpu, k);
    if (held[at] == id && !is_kept_[at]) return true;
  }
  return false;
}

// A move within a node where the expert stood, or to another.
Index State::price_at(Index gpu, std::int32_t id) const {
  if (shape_.far_price == 1) return 1;
  bool is_near = false;
  at_each_held(id, [&](Index at) { is_near |= shape_.node_of[gpu_of(at)] == shape_.node_of[gpu]; });
  return is_near ? 1 : shape_.far_price;
}

Index State::price_of(const Action& action) const {
  Index price = 0;
  for (int i = 0; i < action.num; ++i) {
    const auto [at, id] = action.changes[i];
    const Index gpu = gpu_of(at);
    if (is_new[at]) price -= price_at(gpu, expert[at]);
    if (!is_missing(gpu, id)) price += price_at(gpu, id);
  }
  return price;
}

std::int64_t State::gain_of(const Action& action) {
  std::array<std::int32_t, 2 * Action::kMost> ids{}, added{};
  int num = 0;
  const auto note = [&](std::int32_t id, std::int32_t more) {
    int i = 0;
    while (i < num && ids[i] != id) ++i;
    if (i == num) ids[num++] = id;
    added[i] += more;
  };
  for (int i = 0; i < action.num; ++i) {
    const auto [at, id] = action.changes[i];
    if (expert[at] >= 0) note(expert[at], -1);
    note(id, 1);
    change_[gpu_of(at)] -= size[at];
  }
  for (int i = 0; i < num; ++i) {
    const std::int32_t id = ids[i], after = weight[id] / (count[id] + added[i]);
    if (added[i] != 0) {
      at_each(id, [&](Index at) { change_[gpu_of(at)] += after - size[at]; });
    }
    for (int j = 0; j < action.num; ++j) {
      const Change& change = action.changes[j];
      if (change.expert == id) change_[gpu_of(change.slot)] += after;
      // It was counted above as if it had stayed.
      if (expert[change.slot] == id && added[i] != 0) {
        change_[gpu_of(change.slot)] -= after - size[change.slot];
      }
    }
  }
  std::int64_t gain = 0;
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) {
    gain += std::max(-room[gpu], 0) - std::max<std::int64_t>(change_[gpu] - room[gpu], 0);
    change_[gpu] = 0;
  }
  return gain;
}

bool State::is_allowed(const Action& action) const {
  for (int i = 0; i < action.num; ++i) {
    const auto [at, id] = action.changes[i];
    const std::int32_t leaving = expert[at];
    if (leaving >= 0 && leaving == id) return false;
    if (!shape_.is_apart) continue;
    bool leaves = false;  // the replica that the GPU holds already
    for (int j = 0; j < action.num; ++j) {
      const Change& other = action.changes[j];
      leaves |= gpu_of(other.slot) == gpu_of(at) && expert[other.slot] == id;
      if (j != i && gpu_of(other.slot) == gpu_of(at) && other.expert == id) return false;
    }
    if (!leaves && holds(gpu_of(at), id)) return false;
  }
  return true;
}

void State::apply(const Action& action) {
  for (int i = 0; i < action.num; ++i) {
    const auto [at, id] = action.changes[i];
    room[gpu_of(at)] += size[at];
    if (expert[at] >= 0) {
      --count[expert[at]];
      unlink(at);
    }
    size[at] = 0;
  }
  std::array<std::int32_t, 2 * Action::kMost> touched{};
  for (int i = 0; i < action.num; ++i) {
    const auto [at, id] = action.changes[i];
    touched[2 * i] = expert[at];
    touched[2 * i + 1] = id;
    ++count[id];
  }
  for (int i = 0; i < action.num; ++i) {
    expert[action.changes[i].slot] = action.changes[i].expert;
    link(action.changes[i].slot);
  }
  // A swap and a chain leave the counts, and with them all other sizes, as they are.
  for (int i = 0; i < 2 * action.num; ++i) {
    const auto before = touched.begin() + i;
    if (touched[i] >= 0 && std::find(touched.begin(), before, touched[i]) == before) {
      weigh(touched[i]);
    }
  }
  for (int i = 0; i < action.num; ++i) recount(gpu_of(action.changes[i].slot));
}

void State::link(Index at) {
  next_[at] = first_[expert[at]];
  first_[expert[at]] = at;
}

void State::unlink(Index at) {
  Index* from = &first_[expert[at]];
  while (*from != at) from = &next_[*from];
  *from = next_[at];
}

void State::weigh(std::int32_t id) {
  fresh[id] = weight[id] / (count[id] + 1);
  at_each(id, [&](Index at) {
    room[gpu_of(at)] += size[at];
    set_sizes(at);
    room[gpu_of(at)] -= size[at];
  });
}

// Pair what a GPU has with what it had in force; what finds no partner is a move.
void State::recount(Index gpu) {
  Index moves = 0, price = 0;
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) is_kept_[slot(gpu, k)] = 0;
  // What is where it was goes first.
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    const Index at = slot(gpu, k);
    const bool stays = expert[at] >= 0 && expert[at] == held[at];
    is_kept_[at] = stays;
    kept_at_[at] = stays ? static_cast<std::int32_t>(at) : -1;
    is_new[at] = 0;
  }
  for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
    const Index at = slot(gpu, k);
    if (kept_at_[at] >= 0 || expert[at] < 0) continue;
    for (Index j = 0; j < shape_.slots_per_gpu && kept_at_[at] < 0; ++j) {
      const Index was = slot(gpu, j);
      if (held[was] != expert[at] || is_kept_[was]) continue;
      is_kept_[was] = 1;
      kept_at_[at] = static_cast<std::int32_t>(was);
    }
    if (kept_at_[at] >= 0) continue;
    is_new[at] = 1;
    ++moves;
    price += price_at(gpu, expert[at]);
  }
  moves_ += moves - moves_of_[gpu];
  price_ += price - price_of_gpu_[gpu];
  moves_of_[gpu] = moves;
  price_of_gpu_[gpu] = price;
}

void State::write(std::span<std::int32_t> placed) const {
  const Index slots = shape_.slots_per_gpu;
  std::ranges::fill(placed, -1);
  for (Index gpu = 0; gpu < shape_.num_gpus; ++gpu) {
    for (Index k = 0; k < slots; ++k) {
      const Index at = slot(gpu, k);
      if (kept_at_[at] >= 0) placed[gpu * slots + kept_at_[at] / stride_] = expert[at];
    }
    Index open = gpu * slots;
    for (Index k = 0; k < slots; ++k) {
      const Index at = slot(gpu, k);
      if (kept_at_[at] >= 0 || expert[at] < 0) continue;
      while (placed[open] >= 0) ++open;
      placed[open] = expert[at];
    }
  }
}

}  // namespace eplb::near
