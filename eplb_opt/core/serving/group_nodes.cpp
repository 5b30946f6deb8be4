#include "serving/group_nodes.hpp"

#include <numeric>

#include "moves/assignment.hpp"

namespace eplb::serving {

namespace {

// Groups on nodes with what is beyond the nodes' parts of the load.
class Beyond {
 public:
  Beyond(const Locality& locality, const Grid& grid, std::span<const std::int64_t> weight)
      : locality_(locality),
        load_(locality.num_groups),
        room_(locality.num_nodes),
        held_(locality.num_nodes),
        node_(locality.num_groups, -1) {
    for (Index expert = 0; expert < std::ssize(weight); ++expert) {
      load_[grid.group[expert]] += weight[expert];
    }
    const std::int64_t mean =
        std::accumulate(weight.begin(), weight.end(), std::int64_t{0}) / locality.num_gpus;
    for (Index node = 0; node < locality.num_nodes; ++node) {
      room_[node] = mean * locality.gpus_of(node);
    }
  }

  // A node takes one group above the least only while that many are left over.
  void fill() {
    std::vector<Index> order(load_.size());
    std::iota(order.begin(), order.end(), Index{0});
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](Index g) { return load_[g]; });
    Index further = locality_.num_groups - locality_.least_groups() * locality_.num_nodes;
    for (const Index group : order) {
      Index best = -1;
      for (Index node = 0; node < locality_.num_nodes; ++node) {
        const Index most = locality_.least_groups() + (further > 0 ? 1 : 0);
        if (held_[node] < most && (best < 0 || room_[node] > room_[best])) best = node;
      }
      if (held_[best] == locality_.least_groups()) --further;
      ++held_[best];
      room_[best] -= load_[group];
      node_[group] = best;
    }
  }

  // The best exchange of two groups, or move to a node with fewer, if one helps; whether one does.
  bool improve() {
    std::int64_t most = 0;
    Index one = -1, other = -1, to = -1;
    for (Index a = 0; a < locality_.num_groups; ++a) {
      for (Index b = a + 1; b < locality_.num_groups; ++b) {
        const std::int64_t gain = gain_of(node_[a], node_[b], load_[a] - load_[b]);
        if (gain > most) most = gain, one = a, other = b, to = -1;
      }
      for (Index node = 0; node < locality_.num_nodes; ++node) {
        if (held_[node_[a]] <= held_[node]) continue;
        const std::int64_t gain = gain_of(node_[a], node, load_[a]);
        if (gain > most) most = gain, one = a, other = -1, to = node;
      }
    }
    if (one < 0) return false;
    const Index from = node_[one];
    const Index onto = other < 0 ? to : node_[other];
    const std::int64_t moved = load_[one] - (other < 0 ? 0 : load_[other]);
    room_[from] += moved, room_[onto] -= moved;
    node_[one] = onto;
    if (other >= 0) {
      node_[other] = from;
    } else {
      --held_[from], ++held_[onto];
    }
    return true;
  }

  std::vector<Index> nodes() && { return std::move(node_); }

 private:
  static std::int64_t beyond(std::int64_t room) { return room < 0 ? -room : 0; }

  std::int64_t gain_of(Index from, Index to, std::int64_t moved) const {
    if (from == to) return 0;
    return beyond(room_[from]) + beyond(room_[to]) - beyond(room_[from] + moved) -
           beyond(room_[to] - moved);
  }

  const Locality& locality_;
  std::vector<std::int64_t> load_, room_;  // of groups; left of the nodes' parts
  std::vector<Index> held_, node_;
};

// Exchanges of groups at most; each is the best one.
constexpr Index kMostExchanges = 64;

// Worth more than any load: a node that must be home to a group.
constexpr int kLoadBits = 32;
constexpr std::int64_t kFill = std::int64_t{1} << 48;

}  // namespace

std::vector<Index> level_homes(const Locality& locality, const Grid& grid,
                               std::span<const std::int64_t> weight) {
  Beyond beyond(locality, grid, weight);
  beyond.fill();
  for (Index i = 0; i < kMostExchanges && beyond.improve(); ++i) {
  }
  return std::move(beyond).nodes();
}

std::vector<Index> best_homes(const Locality& locality, std::span<const std::int64_t> served) {
  const Index least = locality.least_groups(), most = locality.most_groups();
  std::vector<Index> found(locality.num_groups), held(locality.num_nodes);
  for (Index group = 0; group < locality.num_groups; ++group) {
    const auto row = served.subspan(group * locality.num_nodes, locality.num_nodes);
    found[group] = std::ranges::max_element(row) - row.begin();
    ++held[found[group]];
  }
  // Mostly every group can have the node that serves most of it.
  if (std::ranges::all_of(held, [&](Index n) { return least <= n && n <= most; })) return found;
  const std::int64_t total = std::accumulate(served.begin(), served.end(), std::int64_t{0});
  int dropped = 0;
  while (total >> dropped >= std::int64_t{1} << kLoadBits) ++dropped;
  // A square: places of nodes are columns, and rows without a group take those left over.
  std::vector<Index> places;
  for (Index i = 0; i < most; ++i) {
    for (Index node = 0; node < locality.num_nodes; ++node) places.push_back(node);
  }
  std::vector<std::vector<moves::Worth>> rows(places.size());
  for (Index group = 0; group < locality.num_groups; ++group) {
    for (Index at = 0; at < std::ssize(places); ++at) {
      const bool must = at < least * locality.num_nodes;
      const std::int64_t load = served[group * locality.num_nodes + places[at]] >> dropped;
      rows[group].push_back({at, 1 + load + (must ? kFill : 0)});
    }
  }
  found = moves::best_assignment(rows);
  found.resize(locality.num_groups);
  for (Index& at : found) at = places[at];
  return found;
}

}  // namespace eplb::serving
