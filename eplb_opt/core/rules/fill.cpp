#include "rules/fill.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <queue>
#include <tuple>

#include "rules/layer.hpp"

namespace eplb::rules {

namespace {

// The moves that free a slot for an expert, by breadth-first search over GPUs.
class Chain {
 public:
  Chain(Layer& layer, Index expert)
      : layer_(layer), came_from_(layer.num_gpus(), kUnseen), mover_(layer.num_gpus()) {
    for (Index gpu = 0; gpu < layer.num_gpus(); ++gpu) {
      if (layer.may_begin(gpu, expert)) {
        came_from_[gpu] = kFirst;
        reached_.push_back(gpu);
      } else if (layer.is_open(gpu)) {
        unseen_.push_back(gpu);
      }
    }
  }

  // The GPU that has a slot now, or -1.
  Index run() {
    for (Index next = 0; next < std::ssize(reached_); ++next) {
      const Index end = expand(reached_[next]);
      if (end >= 0) return moved_along(end);
    }
    return -1;
  }

 private:
  static constexpr Index kUnseen = -2, kFirst = -1;

  // Reaches the GPUs that replicas of this one may go to; one with room ends the search.
  Index expand(Index gpu) {
    for (const Index mover : layer_.held(gpu)) {
      if (layer_.is_pinned(mover, gpu)) continue;
      Index kept = 0, end = -1;
      for (const Index target : unseen_) {
        if (!layer_.may_move(mover, gpu, target)) {
          unseen_[kept++] = target;
          continue;
        }
        came_from_[target] = gpu;
        mover_[target] = mover;
        reached_.push_back(target);
        if (end < 0 && layer_.room(target) > 0) end = target;
      }
      unseen_.resize(kept);
      if (end >= 0) return end;
    }
    return -1;
  }

  // The last mover goes first, so that each finds the slot that the next one left.
  Index moved_along(Index end) {
    Index at = end;
    while (came_from_[at] != kFirst) {
      layer_.move(mover_[at], came_from_[at], at);
      at = came_from_[at];
    }
    layer_.shift_room(end, at);
    return at;
  }

  Layer& layer_;
  std::vector<Index> came_from_, mover_, reached_, unseen_;
};

bool place_one(Layer& layer, Index expert) {
  Index gpu = layer.lightest(expert, true);
  if (gpu < 0) gpu = Chain(layer, expert).run();
  if (gpu < 0) return false;
  layer.put(expert, gpu);
  return true;
}

// Hardly any pair of an expert and a GPU is pinned: the mask is passed over with the widest reads that there are.
void put_pinned(Layer& layer, std::span<const bool> pinned) {
  const auto* const first = reinterpret_cast<const char*>(pinned.data());
  const auto size = std::ssize(pinned);
  for (Index at = 0; at < size; ++at) {
    const void* const found = std::memchr(first + at, 1, static_cast<std::size_t>(size - at));
    if (found == nullptr) return;
    at = static_cast<const char*>(found) - first;
    layer.put(at / layer.num_gpus(), at % layer.num_gpus());
  }
}

// One replica of every expert, or two where they are to be spread.
Fault place_needed(Layer& layer) {
  std::vector<Index> order(layer.num_experts());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](Index e) { return layer.load(e); });
  for (const Index expert : order) {
    while (!layer.is_placed(expert)) {
      if (!place_one(layer, expert)) return {Flaw::kNoSlot, expert};
    }
  }
  // Where an expert made way twice at once its replicas may have met.
  for (Index expert = 0; expert < layer.num_experts(); ++expert) {
    if (!layer.is_placed(expert)) return {Flaw::kNotSpread, expert};
  }
  return {};
}

// The largest replica that has a GPU with room, to the one that it loads least, until none has room.
Fault fill_rest(Layer& layer) {
  // The largest replica first, then the fewest of them, then the first expert.
  using Entry = std::tuple<double, Index, Index>;
  const auto entry = [&layer](Index e) {
    const double count = static_cast<double>(layer.count(e));
    return Entry(layer.load(e) / count, -layer.count(e), -e);
  };
  std::priority_queue<Entry> heap;
  for (Index expert = 0; expert < layer.num_experts(); ++expert) heap.push(entry(expert));
  Index open = 0;
  for (Index gpu = 0; gpu < layer.num_gpus(); ++gpu) open += layer.room(gpu);
  while (open > 0 && !heap.empty()) {
    const Index expert = -std::get<2>(heap.top());
    heap.pop();
    const Index gpu = layer.lightest(expert, false);
    if (gpu < 0) continue;  // nor will there be one later: GPUs only fill up
    layer.put(expert, gpu);
    heap.push(entry(expert));
    --open;
  }
  for (Index gpu = 0; gpu < layer.num_gpus(); ++gpu) {
    if (layer.room(gpu) > 0) return {Flaw::kNothingFits, gpu, layer.room(gpu)};
  }
  return {};
}

}  // namespace

Filler::Filler(const GpuRules& rules, Index num_experts)
    : layer_(std::make_unique<Layer>(rules, num_experts)) {}

Filler::~Filler() = default;

Fault Filler::fill(std::span<const std::int64_t> load, const Ties& ties,
                   std::span<std::int64_t> placed) {
  Layer& layer = *layer_;
  layer.begin(load, ties);
  put_pinned(layer, ties.pinned);
  Fault fault = place_needed(layer);
  if (fault.flaw == Flaw::kNone) fault = fill_rest(layer);
  const Index size = std::ssize(placed) / layer.num_gpus();
  for (Index gpu = 0; gpu < layer.num_gpus(); ++gpu) {
    std::ranges::copy(layer.held(gpu), placed.begin() + gpu * size);
  }
  return fault;
}

}  // namespace eplb::rules
