#include "rules/node_packer.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

namespace eplb::rules {

namespace {

// Exchanges on a node for each of its GPUs; more find little.
constexpr Index kExchanges = 2;

}  // namespace

void Household::clear() {
  expert.clear();
  times.clear();
  share.clear();
}

void Household::add(Index e, Index n, double s) {
  expert.push_back(e);
  times.push_back(n);
  share.push_back(s);
}

Index Household::num_replicas() const { return std::reduce(times.begin(), times.end()); }

NodePacker::NodePacker(const GpuRules& rules, Index num_experts) : rules_(rules) {
  order_.reserve(num_experts);
}

bool NodePacker::pack(const std::vector<Index>& gpus, const Household& held,
                      std::span<std::int64_t> placed) {
  if (!place(gpus, held) && !deal(held)) return false;
  mend_and_write(gpus, held, placed);
  return true;
}

bool NodePacker::place(const std::vector<Index>& gpus, const Household& held) {
  gpus_.resize(gpus.size());
  for (Index g = 0; g < std::ssize(gpus); ++g) {
    gpus_[g].held.clear();
    gpus_[g].slots = rules_.open_slots[gpus[g]];
    gpus_[g].filled = 0;
    gpus_[g].slowness = 1.0 / rules_.speed[gpus[g]];
  }
  order_.resize(held.expert.size());
  std::iota(order_.begin(), order_.end(), 0);
  // Hottest first: a hot replica placed late finds no cool GPU left.
  std::ranges::stable_sort(order_, std::greater(), [&](Index i) { return held.share[i]; });
  for (const Index item : order_) {
    for (Index n = 0; n < held.times[item]; ++n) {
      const Replica replica{item, held.share[item]};
      Index gpu = lightest(replica);
      if (gpu < 0) gpu = make_way(item);
      if (gpu < 0) return false;
      put(gpu, replica);
    }
  }
  return true;
}

// Many replicas first, each where most room is left: that finds a place for all where there is one
// (Gale and Ryser).
bool NodePacker::deal(const Household& held) {
  for (Gpu& gpu : gpus_) {
    gpu.held.clear();
    gpu.filled = 0;
  }
  std::ranges::stable_sort(order_, std::greater(), [&](Index i) { return held.times[i]; });
  const auto room = [](const Gpu& gpu) { return gpu.slots - std::ssize(gpu.held); };
  for (const Index item : order_) {
    for (Index n = 0; n < held.times[item]; ++n) {
      Index most = -1;
      for (Index g = 0; g < std::ssize(gpus_); ++g) {
        if (!gpus_[g].has_room() || !may_take(g, item)) continue;
        if (most < 0 || room(gpus_[g]) > room(gpus_[most])) most = g;
      }
      if (most < 0) return false;
      put(most, {item, held.share[item]});
    }
  }
  return true;
}

void NodePacker::mend_and_write(const std::vector<Index>& gpus, const Household& held,
                                std::span<std::int64_t> placed) {
  for (Index n = kExchanges * std::ssize(gpus); n > 0 && exchange(); --n) {
  }
  const Index slots_per_gpu = std::ssize(placed) / std::ssize(rules_.open_slots);
  for (Index g = 0; g < std::ssize(gpus); ++g) {
    Index slot = gpus[g] * slots_per_gpu;
    for (const Replica& replica : gpus_[g].held) placed[slot++] = held.expert[replica.item];
  }
}

bool NodePacker::has(Index gpu, Index item) const {
  return std::ranges::any_of(gpus_[gpu].held, [&](const Replica& r) { return r.item == item; });
}

Index NodePacker::lightest(const Replica& replica) const {
  double least = std::numeric_limits<double>::infinity();
  Index found = -1;
  for (Index g = 0; g < std::ssize(gpus_); ++g) {
    const double level = (gpus_[g].filled + replica.share) * gpus_[g].slowness;
    if (level < least && gpus_[g].has_room() && may_take(g, replica.item)) {
      least = level;
      found = g;
    }
  }
  return found;
}

// Moves a replica from a full GPU without the expert to an open one; returns the full GPU, or -1.
Index NodePacker::make_way(Index item) {
  for (Index open = 0; open < std::ssize(gpus_); ++open) {
    if (!gpus_[open].has_room()) continue;
    for (Index g = 0; g < std::ssize(gpus_); ++g) {
      if (has(g, item)) continue;
      auto& held = gpus_[g].held;
      const auto moved = std::ranges::find_if(
          held, [&](const Replica& other) { return !has(open, other.item); });
      if (moved == held.end()) continue;
      const Replica other = *moved;
      held.erase(moved);
      gpus_[g].filled -= other.share;
      put(open, other);
      return g;
    }
  }
  return -1;
}

void NodePacker::put(Index gpu, const Replica& replica) {
  gpus_[gpu].held.push_back(replica);
  gpus_[gpu].filled += replica.share;
}

// The best exchange of a replica of the heaviest GPU for a smaller one; whether there is one.
bool NodePacker::exchange() {
  const auto level = [](const Gpu& gpu) { return gpu.filled * gpu.slowness; };
  const Index heavy = std::ranges::max_element(gpus_, {}, level) - gpus_.begin();
  double least = level(gpus_[heavy]) * (1 - 1e-9);
  Index best[3] = {-1, -1, -1};
  for (Index other = 0; other < std::ssize(gpus_); ++other) {
    if (other != heavy) exchange_with(heavy, other, least, best);
  }
  if (best[0] < 0) return false;
  Replica& mine = gpus_[heavy].held[best[1]];
  Replica& theirs = gpus_[best[0]].held[best[2]];
  const double moved = mine.share - theirs.share;
  std::swap(mine, theirs);
  gpus_[heavy].filled -= moved;
  gpus_[best[0]].filled += moved;
  return true;
}

// Notes in `best` the other GPU and the places of both replicas where the exchange is the best yet.
void NodePacker::exchange_with(Index heavy, Index other, double& least, Index (&best)[3]) const {
  const Gpu &from = gpus_[heavy], &to = gpus_[other];
  for (Index i = 0; i < std::ssize(from.held); ++i) {
    const Replica& mine = from.held[i];
    for (Index j = 0; j < std::ssize(to.held); ++j) {
      const double moved = mine.share - to.held[j].share;
      if (moved <= 0) continue;
      const double peak =
          std::max((from.filled - moved) * from.slowness, (to.filled + moved) * to.slowness);
      if (peak >= least) continue;
      if (!may_take(other, mine.item) || !may_take(heavy, to.held[j].item)) continue;
      least = peak;
      best[0] = other;
      best[1] = i;
      best[2] = j;
    }
  }
}

}  // namespace eplb::rules
