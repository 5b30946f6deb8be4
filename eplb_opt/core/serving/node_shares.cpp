#include "serving/node_shares.hpp"

#include <limits>
#include <numeric>

namespace eplb::serving {

namespace {

// Node loads need not be nearer to the level than one part in so many.
constexpr std::int64_t kNear = 1024;
// Nodes that one may give to, those with the most room.
constexpr std::size_t kTakers = 2;
// A change is to lower the cost by this part of the level at least.
constexpr double kLeastWorth = 0.02;
// A GPU's other slots are thought to hold replicas like the lightest quarter, and a quarter more.
constexpr Index kLight = 4;
constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

NodeShares::NodeShares(const Locality& locality, const Grid& grid,
                       std::span<const std::int64_t> weight, std::span<const Index> homes)
    : locality_(locality),
      weight_(weight),
      home_(weight.size()),
      size_(weight.begin(), weight.end()),
      more_(weight.size()),
      fewer_(weight.size()),
      count_(weight.size()),
      on_(weight.size() * locality.num_nodes),
      load_(locality.num_nodes),
      free_(locality.num_nodes),
      gpus_(locality.num_nodes),
      slope_(locality.num_nodes),
      members_(locality.num_nodes),
      total_(std::accumulate(weight.begin(), weight.end(), std::int64_t{0})) {
  for (Index expert = 0; expert < std::ssize(weight); ++expert) {
    home_[expert] = homes[grid.group[expert]];
  }
  for (Index node = 0; node < locality.num_nodes; ++node) {
    free_[node] = locality.slots_of(node);
    gpus_[node] = locality.gpus_of(node);
    slope_[node] = static_cast<double>(locality.num_gpus) / static_cast<double>(gpus_[node]);
    members_[node].reserve(locality.slots_of(node));
  }
}

void NodeShares::plan() {
  place_at_home();
  set_level();
  for (Index node = 0; node < locality_.num_nodes; ++node) fill(node);
  set_limit();
  split_large();
  shed();
}

// Nodes without room for all that is at home there give their lightest to the node with most room.
void NodeShares::place_at_home() {
  std::vector<Index> order(weight_.size());
  std::iota(order.begin(), order.end(), Index{0});
  const auto is_full = [&] {
    std::vector<Index> held(locality_.num_nodes);
    for (const Index node : home_) ++held[node];
    for (Index node = 0; node < locality_.num_nodes; ++node) {
      if (held[node] > free_[node]) return true;
    }
    return false;
  };
  if (is_full()) {
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](Index e) { return weight_[e]; });
  }
  std::vector<Index> homeless;
  for (const Index expert : order) {
    if (free_[home_[expert]] > 0) {
      add(expert, home_[expert]);
    } else {
      homeless.push_back(expert);
    }
  }
  for (const Index expert : homeless) {
    add(expert, std::ranges::max_element(free_) - free_.begin());
  }
}

// The level at which lowering all heavier nodes further would cost more than it gains.
void NodeShares::set_level() {
  const Index num_nodes = locality_.num_nodes;
  level_ = (total_ + locality_.num_gpus - 1) / locality_.num_gpus;
  while (true) {
    // Above the level the objective falls by this share of what the level rises.
    double slope = static_cast<double>(locality_.num_gpus);
    std::int64_t next = std::numeric_limits<std::int64_t>::max();
    for (Index node = 0; node < num_nodes; ++node) {
      if (beyond(node) <= 0) continue;
      slope -= locality_.price * static_cast<double>(gpus_[node]);
      next = std::min(next, (load_[node] + gpus_[node] - 1) / gpus_[node]);
    }
    if (slope >= 0.0 || next == std::numeric_limits<std::int64_t>::max()) return;
    level_ = std::max(next, level_ + 1);
  }
}

void NodeShares::fill(Index node) {
  while (free_[node] > 0) {
    Index largest = -1;
    for (const Index expert : members_[node]) {
      if (largest < 0 || size_[expert] > size_[largest]) largest = expert;
    }
    // Where no group is at home on a node.
    if (largest < 0) largest = std::ranges::max_element(size_) - size_.begin();
    add(largest, node);
  }
}

// What a replica may serve where the other slots of its GPU hold light ones.
void NodeShares::set_limit() {
  std::vector<std::int64_t> sizes(size_);
  const Index light = std::ssize(sizes) / kLight;
  std::ranges::nth_element(sizes, sizes.begin() + light);
  const std::int64_t sum = std::accumulate(sizes.begin(), sizes.begin() + light, std::int64_t{0});
  const std::int64_t each = light > 0 ? sum / light : 0;
  const std::int64_t beside = (each + each / kLight) * (locality_.slots_per_gpu() - 1);
  limit_ = std::max(level_ - beside, level_ / 2);
}

void NodeShares::split_large() {
  for (Index i = 0; i < locality_.num_slots && split_largest(); ++i) {
  }
  level_ = std::max(level_, std::ranges::max(size_));
}

// Give the largest replica's expert a further slot, at home or elsewhere, where its replicas exceed
// the level and there is one to spare; whether one was given.
bool NodeShares::split_largest() {
  const Index expert = std::ranges::max_element(size_) - size_.begin();
  if (size_[expert] <= limit_) return false;
  const Index home = home_[expert], light = offer_of(home, expert).lightest[0];
  Change copy, evicted;
  copy.worth = evicted.worth = kNever;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index spare = spare_of(node, expert);
    if (spare < 0) continue;
    look_at_copy(expert, home, node, spare, copy);
    // Or a light one of the home makes room there, and takes the slot that the other can spare.
    if (node == home || light < 0 || light == spare) continue;
    const std::int64_t added = home_[light] == home ? size_[light] : 0;
    const double worth = locality_.price * static_cast<double>(added);
    if (worth < evicted.worth) evicted = {worth, expert, -1, node, spare, true};
  }
  if (evicted.worth < copy.worth) {
    take(evicted.other, evicted.to);
    take(light, home);
    add(light, evicted.to);
    add(expert, home);
  } else if (copy.expert >= 0) {
    make(copy);
  }
  return copy.expert >= 0 || evicted.expert >= 0;
}

// The heaviest nodes first; what one takes never lifts it above the level by more than is gained.
void NodeShares::shed() {
  std::vector<Index> order(locality_.num_nodes);
  std::iota(order.begin(), order.end(), Index{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](Index n) { return beyond(n); });
  for (const Index node : order) {
    for (Index i = 0; i < locality_.slots_per_node() && shed_from(node); ++i) {
    }
  }
}

// Make the change that helps most by what it takes off a node, if one helps.
bool NodeShares::shed_from(Index node) {
  if (beyond(node) <= level_ * gpus_[node] / kNear) return false;
  Change best;
  best.worth = -static_cast<double>(level_) * kLeastWorth;
  Index tried[kTakers];
  Offer offers[kTakers];
  const std::size_t num_tried = roomiest(tried);
  for (std::size_t i = 0; i < num_tried; ++i) offers[i] = offer_of(tried[i], -1);
  for (const Index expert : members_[node]) {
    for (std::size_t i = 0; i < num_tried; ++i) {
      const Index to = tried[i];
      const Offer& offer = offers[i];
      if (offer.spare >= 0 && offer.spare != expert) {
        look_at_copy(expert, node, to, offer.spare, best);
      }
      for (const Index other : offer.lightest) {
        if (other >= 0 && other != expert) look_at_swap(expert, node, to, other, best);
      }
    }
  }
  if (best.expert < 0) return false;
  make(best);
  return true;
}

// The nodes that are farthest below the level, the farthest first; how many.
std::size_t NodeShares::roomiest(std::span<Index> nodes) const {
  std::size_t found = 0;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    if (beyond(node) >= 0) continue;
    std::size_t at = found;
    while (at > 0 && beyond(node) < beyond(nodes[at - 1])) --at;
    if (at == nodes.size()) continue;
    found = std::min(found + 1, nodes.size());
    for (std::size_t i = found - 1; i > at; --i) nodes[i] = nodes[i - 1];
    nodes[at] = node;
  }
  return found;
}

void NodeShares::look_at_copy(Index expert, Index from, Index to, Index spare, Change& best) const {
  const std::int64_t then = more_[expert], grown = fewer_[spare];
  // Mostly the two have all of their replicas on one node each, and no more is gained than leaves it.
  const bool is_simple =
      from != to && on(expert, from) == count_[expert] && on(spare, to) == count_[spare];
  const std::int64_t fallen = count_[expert] * (size_[expert] - then);
  if (is_simple && -slope_[from] * static_cast<double>(fallen) >= best.worth) return;
  const std::int64_t added =
      away(expert, 1, home_[expert] == to) + away(spare, -1, -(home_[spare] == to));
  double worth = locality_.price * static_cast<double>(added);
  if (is_simple) {
    worth += rise(from, -fallen) + rise(to, then);
    if (worth < best.worth) best = {worth, expert, from, to, spare, true};
    return;
  }
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index here = node == to ? 1 : 0;
    const std::int64_t more = (on(expert, node) + here) * then - on(expert, node) * size_[expert] +
                              (on(spare, node) - here) * grown - on(spare, node) * size_[spare];
    if (more != 0) worth += rise(node, more);
  }
  if (worth < best.worth) best = {worth, expert, from, to, spare, true};
}

void NodeShares::look_at_swap(Index expert, Index from, Index to, Index other, Change& best) const {
  const std::int64_t moved = size_[expert] - size_[other];
  // No more is gained than leaves the node.
  if (-slope_[from] * static_cast<double>(moved) >= best.worth) return;
  const std::int64_t mine = (home_[expert] == from) - (home_[expert] == to);
  const std::int64_t theirs = (home_[other] == to) - (home_[other] == from);
  const std::int64_t added = mine * size_[expert] + theirs * size_[other];
  const double worth =
      locality_.price * static_cast<double>(added) + rise(from, -moved) + rise(to, moved);
  if (worth < best.worth) best = {worth, expert, from, to, other, false};
}

void NodeShares::make(const Change& change) {
  take(change.other, change.to);
  if (!change.is_copy) {
    take(change.expert, change.from);
    add(change.other, change.from);
  }
  add(change.expert, change.to);
}

// What the cost rises by where a node's load does.
double NodeShares::rise(Index node, std::int64_t more) const {
  const std::int64_t now = beyond(node);
  const std::int64_t change = std::max<std::int64_t>(now + more, 0) - std::max<std::int64_t>(now, 0);
  return slope_[node] * static_cast<double>(change);
}

// What is served away from home more with so many more replicas, and so many of them at home.
std::int64_t NodeShares::away(Index expert, Index more, Index at_home) const {
  const Index count = count_[expert], now = on(expert, home_[expert]);
  const std::int64_t then = more > 0 ? more_[expert] : fewer_[expert];
  return then * (count + more - now - at_home) - size_[expert] * (count - now);
}

NodeShares::Offer NodeShares::offer_of(Index node, Index taker) const {
  Offer offer;
  offer.spare = spare_of(node, taker);
  auto& [first, second] = offer.lightest;
  for (const Index expert : members_[node]) {
    if (expert == taker) continue;
    if (first < 0 || size_[expert] < size_[first]) first = expert;
    if (home_[expert] != node && (second < 0 || size_[expert] < size_[second])) second = expert;
  }
  return offer;
}

// The expert on a node whose replicas grow least large by one less, and not beyond the level.
Index NodeShares::spare_of(Index node, Index taker) const {
  Index spare = -1;
  std::int64_t least = limit_;
  for (const Index expert : members_[node]) {
    if (count_[expert] < 2 || expert == taker) continue;
    const std::int64_t grown = fewer_[expert];
    if (grown < least) least = grown, spare = expert;
  }
  return spare;
}

void NodeShares::add(Index expert, Index node) {
  if (on(expert, node) == 0) members_[node].push_back(expert);
  --free_[node];
  change(expert, node, 1);
}

void NodeShares::take(Index expert, Index node) {
  ++free_[node];
  change(expert, node, -1);
  if (on(expert, node) == 0) std::erase(members_[node], expert);
}

void NodeShares::change(Index expert, Index node, Index more) {
  Index* on = on_.data() + expert * locality_.num_nodes;
  for (Index n = 0; n < locality_.num_nodes; ++n) load_[n] -= on[n] * size_[expert];
  on[node] += more;
  count_[expert] += more;
  // Between two steps of a change an expert may stand nowhere.
  const Index count = count_[expert];
  size_[expert] = count > 1 ? weight_[expert] / count : weight_[expert];
  more_[expert] = weight_[expert] / (count + 1);
  fewer_[expert] = count > 2 ? weight_[expert] / (count - 1) : weight_[expert];
  for (Index n = 0; n < locality_.num_nodes; ++n) load_[n] += on[n] * size_[expert];
}

}  // namespace eplb::serving
