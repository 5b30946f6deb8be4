#include "serving/node_shares.hpp"

#include <limits>
#include <numeric>

namespace eplb::serving {

namespace {

// A GPU's other slots are thought to hold replicas like the lightest quarter, and a quarter more.
constexpr Index kLight = 4;
// Beyond so many looks at experts those that cannot get a free slot are left out first.
constexpr Index kMostLooks = 2048;
// Experts that such estimates look at, about.
constexpr Index kSample = 64;
constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

NodeShares::NodeShares(const Locality& locality)
    : locality_(locality),
      grid_(locality),
      one_over_(locality.num_slots + 2),
      gpus_(locality.num_nodes),
      slope_(locality.num_nodes),
      weight_(locality.num_experts),
      home_(locality.num_experts),
      count_(locality.num_experts),
      size_(locality.num_experts),
      more_(locality.num_experts),
      fewer_(locality.num_experts),
      on_(locality.num_experts * locality.num_nodes),
      load_(locality.num_nodes),
      free_(locality.num_nodes),
      members_(locality.num_nodes * locality.slots_per_node()),
      num_members_(locality.num_nodes),
      order_(locality.num_experts),
      sorted_(locality.num_experts),
      sample_(std::max<Index>(locality.num_experts / kSample, 1)) {
  // Between two steps of a change an expert may stand nowhere; it is as large as with one replica.
  one_over_[0] = 1.0;
  for (Index count = 1; count < std::ssize(one_over_); ++count) {
    one_over_[count] = 1.0 / static_cast<double>(count);
  }
  for (Index node = 0; node < locality.num_nodes; ++node) {
    gpus_[node] = static_cast<double>(locality.gpus_of(node));
    slope_[node] = static_cast<double>(locality.num_gpus) / gpus_[node];
    most_slope_ = std::max(most_slope_, slope_[node]);
  }
}

void NodeShares::plan(std::span<const std::int64_t> weight, std::span<const Index> homes) {
  begin(weight, homes);
  place_at_home();
  set_level();
  for (Index node = 0; node < locality_.num_nodes; ++node) fill(node);
  set_limit();
  split_large();
  shed();
}

void NodeShares::begin(std::span<const std::int64_t> weight, std::span<const Index> homes) {
  total_ = 0.0;
  for (Index expert = 0; expert < locality_.num_experts; ++expert) {
    weight_[expert] = size_[expert] = fewer_[expert] = static_cast<double>(weight[expert]);
    more_[expert] = 0.5 * weight_[expert];
    total_ += weight_[expert];
    home_[expert] = static_cast<std::int32_t>(homes[grid_.group[expert]]);
  }
  std::ranges::fill(count_, 0);
  std::ranges::fill(on_, 0);
  std::ranges::fill(load_, 0.0);
  std::ranges::fill(num_members_, 0);
  for (Index node = 0; node < locality_.num_nodes; ++node) free_[node] = locality_.slots_of(node);
}

// Nodes without room for all that is at home there give their lightest to the node with most room.
void NodeShares::place_at_home() {
  std::ranges::fill(num_members_, 0);
  for (const std::int32_t node : home_) ++num_members_[node];
  bool is_full = false;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    is_full |= num_members_[node] > free_[node];
    num_members_[node] = 0;
  }
  if (!is_full) return place_groups();
  order_.resize(locality_.num_experts);
  std::iota(order_.begin(), order_.end(), 0);
  std::ranges::stable_sort(order_, std::ranges::greater{}, [&](Index e) { return weight_[e]; });
  std::size_t homeless = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const std::int32_t expert = order_[i];
    if (free_[home_[expert]] > 0) {
      place_first(expert, home_[expert]);
    } else {
      order_[homeless++] = expert;
    }
  }
  for (std::size_t i = 0; i < homeless; ++i) {
    place_first(order_[i], std::ranges::max_element(free_) - free_.begin());
  }
}

// All experts on their homes, group by group.
void NodeShares::place_groups() {
  std::ranges::fill(count_, 1);
  for (Index first = 0; first < locality_.num_experts; first += locality_.group_size()) {
    const Index end = std::min(first + locality_.group_size(), locality_.num_experts);
    const Index node = home_[first];
    std::int32_t* members = members_.data() + node * locality_.slots_per_node() + num_members_[node];
    std::int32_t* on = on_.data() + first * locality_.num_nodes + node;
    double load = 0.0;
    for (Index expert = first; expert < end; ++expert, on += locality_.num_nodes) {
      *members++ = static_cast<std::int32_t>(expert);
      *on = 1;
      load += weight_[expert];
    }
    load_[node] += load;
    num_members_[node] += end - first;
    free_[node] -= end - first;
  }
}

void NodeShares::place_first(Index expert, Index node) {
  on_[expert * locality_.num_nodes + node] = count_[expert] = 1;
  load_[node] += weight_[expert];
  members_[node * locality_.slots_per_node() + num_members_[node]++] =
      static_cast<std::int32_t>(expert);
  --free_[node];
}

// The level at which lowering all heavier nodes further would cost more than it gains.
void NodeShares::set_level() {
  level_ = total_ / static_cast<double>(locality_.num_gpus);
  while (true) {
    // Above the level the objective falls by this share of what the level rises.
    double slope = static_cast<double>(locality_.num_gpus), next = kNever;
    for (Index node = 0; node < locality_.num_nodes; ++node) {
      const double load = load_[node] / gpus_[node];
      if (load <= level_) continue;
      slope -= locality_.price * gpus_[node];
      next = std::min(next, load);
    }
    if (slope >= 0.0 || next == kNever) return;
    level_ = next;
  }
}

// Free slots go to the largest replicas on the node.
void NodeShares::fill(Index node) {
  if (free_[node] <= 0) return;
  const std::span<const std::int32_t> here = members(node);
  order_.assign(here.begin(), here.end());
  // Where no group is at home on a node, all experts.
  if (order_.empty()) {
    order_.resize(locality_.num_experts);
    std::iota(order_.begin(), order_.end(), 0);
  }
  // No more experts than slots get one.
  if (std::ssize(order_) * free_[node] > kMostLooks && std::ssize(order_) > free_[node]) {
    const auto end = order_.begin() + free_[node];
    std::ranges::nth_element(order_, end, std::ranges::greater{}, [&](Index e) { return size_[e]; });
    order_.resize(free_[node]);
    std::ranges::sort(order_);
  }
  sorted_.resize(order_.size());
  for (std::size_t i = 0; i < order_.size(); ++i) sorted_[i] = size_[order_[i]];
  while (free_[node] > 0) {
    // Without branches, which would be foretold wrongly.
    std::size_t largest = 0;
    double most = sorted_[0];
    for (std::size_t i = 1; i < sorted_.size(); ++i) {
      largest = sorted_[i] > most ? i : largest;
      most = sorted_[i] > most ? sorted_[i] : most;
    }
    add(order_[largest], node);
    sorted_[largest] = size_[order_[largest]];
  }
}

// What a replica may serve where the other slots of its GPU hold light ones.
void NodeShares::set_limit() {
  // Some experts stand for all.
  sorted_.clear();
  for (Index expert = 0; expert < locality_.num_experts; expert += sample_) {
    sorted_.push_back(size_[expert]);
  }
  const Index light = std::ssize(sorted_) / kLight;
  std::ranges::nth_element(sorted_, sorted_.begin() + light);
  const double sum = std::accumulate(sorted_.begin(), sorted_.begin() + light, 0.0);
  const double each = light > 0 ? sum / static_cast<double>(light) : 0.0;
  const double beside =
      (each + each / kLight) * static_cast<double>(locality_.slots_per_gpu() - 1);
  limit_ = std::max(level_ - beside, level_ / 2.0);
}

// Largest first; what they take the slots of does not grow beyond the limit.
void NodeShares::split_large() {
  order_.clear();
  for (std::int32_t expert = 0; expert < locality_.num_experts; ++expert) {
    if (size_[expert] > limit_) order_.push_back(expert);
  }
  for (Index i = 0; i < locality_.num_slots && !order_.empty(); ++i) {
    const auto largest =
        std::ranges::max_element(order_, {}, [&](Index expert) { return size_[expert]; });
    if (!split(*largest)) break;
    if (size_[*largest] <= limit_) order_.erase(largest);
  }
  level_ = std::max(level_, std::ranges::max(size_));
}

// Give an expert a further slot, at home or elsewhere, where there is one to spare; whether it got
// one.
bool NodeShares::split(Index expert) {
  const Index home = home_[expert], light = offer_of(home, expert).lightest[0];
  Change copy, evicted;
  copy.worth = evicted.worth = kNever;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index spare = spare_of(node, expert);
    if (spare < 0) continue;
    look_at_copy(expert, home, node, spare, copy);
    // Or a light one of the home makes room there, and takes the slot that the other can spare.
    if (node == home || light < 0 || light == spare) continue;
    const double worth = home_[light] == home ? locality_.price * size_[light] : 0.0;
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

void NodeShares::make(const Change& change) {
  take(change.other, change.to);
  if (!change.is_copy) {
    take(change.expert, change.from);
    add(change.other, change.from);
  }
  add(change.expert, change.to);
}

void NodeShares::add(Index expert, Index node) {
  if (on(expert, node) == 0) {
    members_[node * locality_.slots_per_node() + num_members_[node]++] =
        static_cast<std::int32_t>(expert);
  }
  --free_[node];
  change(expert, node, 1);
}

void NodeShares::take(Index expert, Index node) {
  ++free_[node];
  change(expert, node, -1);
  if (on(expert, node) > 0) return;
  const auto first = members_.begin() + node * locality_.slots_per_node();
  const auto last = first + --num_members_[node];
  const auto at = std::find(first, last, static_cast<std::int32_t>(expert));
  std::copy(at + 1, last + 1, at);
}

void NodeShares::change(Index expert, Index node, Index more) {
  std::int32_t* on = on_.data() + expert * locality_.num_nodes;
  const double before = size_[expert];
  count_[expert] += static_cast<std::int32_t>(more);
  const Index count = count_[expert];
  size_[expert] = part(expert, count);
  more_[expert] = part(expert, count + 1);
  fewer_[expert] = part(expert, count > 2 ? count - 1 : 1);
  for (Index n = 0; n < locality_.num_nodes; ++n) {
    if (on[n] > 0) load_[n] += static_cast<double>(on[n]) * (size_[expert] - before);
  }
  on[node] += static_cast<std::int32_t>(more);
  load_[node] += static_cast<double>(more) * size_[expert];
}

}  // namespace eplb::serving
