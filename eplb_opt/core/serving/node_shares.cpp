#include "serving/node_shares.hpp"

#include <limits>
#include <numeric>

#include "common/lanes.hpp"

namespace eplb::serving {

namespace {

// A GPU's other slots are thought to hold replicas like the lightest quarter, and a quarter more.
constexpr Index kLight = 4;
// Experts that such estimates look at, about.
constexpr Index kSample = 64;

}  // namespace

NodeShares::NodeShares(const Locality& locality)
    : locality_(locality),
      grid_(locality),
      width_((locality.slots_per_node() + 1 + kEight - 1) / kEight * kEight),
      one_over_(locality.num_slots + 2),
      gpus_(locality.num_nodes),
      slope_(locality.num_nodes),
      price_(static_cast<float>(locality.price)),
      weight_(locality.num_experts),
      size_(locality.num_experts),
      home_(locality.num_experts),
      count_(locality.num_experts),
      on_(locality.num_experts * locality.num_nodes),
      at_(locality.num_experts * locality.num_nodes),
      load_(locality.num_nodes),
      free_(locality.num_nodes),
      num_members_(locality.num_nodes),
      member_(locality.num_nodes * width_),
      member_home_(locality.num_nodes * width_),
      member_size_(locality.num_nodes * width_),
      more_(locality.num_nodes * width_),
      fewer_(locality.num_nodes * width_),
      fall_(locality.num_nodes * width_),
      added_(locality.num_nodes * width_),
      order_(locality.num_experts),
      sorted_((locality.num_experts + kEight - 1) / kEight * kEight),
      sample_(std::max<Index>(locality.num_experts / kSample, 1)) {
  // Between two steps of a change an expert may stand nowhere; it is as large as with one replica.
  one_over_[0] = 1.0F;
  for (Index count = 1; count < std::ssize(one_over_); ++count) {
    one_over_[count] = 1.0F / static_cast<float>(count);
  }
  for (Index node = 0; node < locality.num_nodes; ++node) {
    gpus_[node] = static_cast<float>(locality.gpus_of(node));
    slope_[node] = static_cast<float>(locality.num_gpus) / gpus_[node];
  }
}

void NodeShares::plan(std::span<const std::int64_t> weight, std::span<const Index> homes) {
  begin(weight, homes);
  place_at_home();
  set_level();
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    if (num_members_[node] > 0) fill(node);
  }
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    if (num_members_[node] == 0) fill_empty(node);
  }
  set_limit();
  split_large();
  shed();
}

void NodeShares::begin(std::span<const std::int64_t> weight, std::span<const Index> homes) {
  double total = 0.0;
  for (const std::int64_t each : weight) total += static_cast<double>(each);
  const double scale = total > 0.0 ? static_cast<double>(locality_.num_gpus) / total : 1.0;
  for (Index expert = 0; expert < locality_.num_experts; ++expert) {
    weight_[expert] = size_[expert] = static_cast<float>(static_cast<double>(weight[expert]) * scale);
    home_[expert] = static_cast<std::int32_t>(homes[grid_.group[expert]]);
  }
  std::ranges::fill(count_, 0);
  std::ranges::fill(on_, 0);
  std::ranges::fill(load_, 0.0F);
  std::ranges::fill(num_members_, 0);
  // What pads a row is never chosen.
  std::ranges::fill(member_, -1);
  std::ranges::fill(member_home_, -1);
  std::ranges::fill(member_size_, kHuge);
  std::ranges::fill(more_, kHuge);
  std::ranges::fill(fewer_, kHuge);
  std::ranges::fill(fall_, 0.0F);
  std::ranges::fill(added_, 0.0F);
  for (Index node = 0; node < locality_.num_nodes; ++node) free_[node] = locality_.slots_of(node);
}

// Nodes without room for all that is at home there give their lightest to the node with most room.
void NodeShares::place_at_home() {
  std::vector<Index>& wanted = num_members_;
  for (const std::int32_t node : home_) ++wanted[node];
  bool is_full = false;
  for (Index node = 0; node < locality_.num_nodes; ++node) is_full |= wanted[node] > free_[node];
  std::ranges::fill(num_members_, 0);
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
    const Index num = std::min(locality_.group_size(), locality_.num_experts - first);
    const std::int32_t node = home_[first];
    const auto place = static_cast<std::int32_t>(num_members_[node]);
    const Index row = node * width_ + place;
    const float* sizes = weight_.data() + first;
    float load = 0.0F;
    for (Index i = 0; i < num; ++i) load += sizes[i];
    for (Index i = 0; i < num; ++i) {
      member_[row + i] = static_cast<std::int32_t>(first + i);
      member_home_[row + i] = node;
      member_size_[row + i] = sizes[i];
      more_[row + i] = fall_[row + i] = added_[row + i] = 0.5F * sizes[i];
    }
    for (Index i = 0; i < num; ++i) {
      on_[place_of(first + i, node)] = 1;
      at_[place_of(first + i, node)] = place + static_cast<std::int32_t>(i);
    }
    load_[node] += load;
    num_members_[node] += num;
    free_[node] -= num;
  }
}

void NodeShares::place_first(Index expert, Index node) {
  const float size = weight_[expert];
  on_[place_of(expert, node)] = count_[expert] = 1;
  load_[node] += size;
  --free_[node];
  enter(expert, node);
  const Index at = node * width_ + num_members_[node] - 1;
  member_size_[at] = size;
  more_[at] = fall_[at] = 0.5F * size;
  added_[at] = home_[expert] == node ? 0.5F * size : 0.0F;
}

// The level at which lowering all heavier nodes further would cost more than it gains.
void NodeShares::set_level() {
  level_ = 1.0F;
  while (true) {
    // Above the level the objective falls by this share of what the level rises.
    float slope = static_cast<float>(locality_.num_gpus), next = kHuge;
    for (Index node = 0; node < locality_.num_nodes; ++node) {
      const float load = load_[node] / gpus_[node];
      if (load <= level_) continue;
      slope -= price_ * gpus_[node];
      next = std::min(next, load);
    }
    if (slope >= 0.0F || next == kHuge) return;
    level_ = next;
  }
}

// Free slots go to the largest replicas on the node.
void NodeShares::fill(Index node) {
  while (free_[node] > 0) {
    LargestSize largest{member_size_.data() + node * width_, vectors_of(node)};
    with_widest_vectors(largest);
    add(member_[node * width_ + largest.place], node);
  }
}

// Where no group is at home on a node, those to the largest of all experts.
void NodeShares::fill_empty(Index node) {
  const Index size = std::ssize(sorted_), num_vectors = size / kEight;
  std::ranges::fill(sorted_, kHuge);
  std::ranges::copy(size_, sorted_.begin());
  while (free_[node] > 0) {
    LargestSize largest{sorted_.data(), num_vectors};
    with_widest_vectors(largest);
    add(largest.place, node);
    sorted_[largest.place] = size_[largest.place];
  }
}

// What a replica may serve where the other slots of its GPU hold light ones.
void NodeShares::set_limit() {
  // Some experts stand for all.
  Index num = 0;
  for (Index expert = 0; expert < locality_.num_experts; expert += sample_) {
    sorted_[num++] = size_[expert];
  }
  const Index light = num / kLight;
  std::nth_element(sorted_.begin(), sorted_.begin() + light, sorted_.begin() + num);
  const float sum = std::accumulate(sorted_.begin(), sorted_.begin() + light, 0.0F);
  const float each = light > 0 ? sum / static_cast<float>(light) : 0.0F;
  const float beside =
      (each + each / kLight) * static_cast<float>(locality_.slots_per_gpu() - 1);
  limit_ = std::max(level_ - beside, level_ / 2.0F);
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
  const Index home = home_[expert], light = lightest_of(home, expert);
  Copy copy{kHuge}, evicted{kHuge};
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index spare = spare_of(node, expert);
    if (spare < 0) continue;
    const float worth = worth_of_copy(expert, node, spare);
    if (worth < copy.worth) copy = {worth, node, spare};
    // Or a light one of the home makes room there, and takes the slot that the other can spare.
    if (node == home || light < 0 || light == spare) continue;
    const float paid = home_[light] == home ? price_ * size_[light] : 0.0F;
    if (paid < evicted.worth) evicted = {paid, node, spare};
  }
  if (copy.node < 0) return false;
  if (evicted.worth < copy.worth) {
    take(evicted.spare, evicted.node);
    move(light, home, evicted.node);
    add(expert, home);
  } else {
    take(copy.spare, copy.node);
    add(expert, copy.node);
  }
  return true;
}

float NodeShares::worth_of_copy(Index expert, Index node, Index spare) const {
  const float then = part(expert, count_[expert] + 1), grown = part(spare, count_[spare] - 1);
  float worth = price_ * (away(expert, 1, home_[expert] == node) +
                          away(spare, -1, -(home_[spare] == node)));
  for (Index n = 0; n < locality_.num_nodes; ++n) {
    const auto mine = static_cast<float>(on(expert, n)), theirs = static_cast<float>(on(spare, n));
    const float here = n == node ? 1.0F : 0.0F;
    if (here == 0.0F && mine == 0.0F && theirs == 0.0F) continue;
    worth += rise(n, (mine + here) * then - mine * size_[expert] + (theirs - here) * grown -
                         theirs * size_[spare]);
  }
  return worth;
}

// What the cost rises by where a node's load does.
float NodeShares::rise(Index node, float more) const {
  const float now = beyond(node);
  return slope_[node] * (std::max(now + more, 0.0F) - std::max(now, 0.0F));
}

// What is served away from home more with so many more replicas, and so many of them at home.
float NodeShares::away(Index expert, Index more, Index at_home) const {
  const Index count = count_[expert], now = on(expert, home_[expert]);
  return part(expert, count + more) * static_cast<float>(count + more - now - at_home) -
         size_[expert] * static_cast<float>(count - now);
}

Index NodeShares::lightest_of(Index node, Index taker) const {
  Index found = -1;
  float least = kHuge;
  for (const std::int32_t expert : members(node)) {
    if (size_[expert] < least && expert != taker) least = size_[expert], found = expert;
  }
  return found;
}

// The expert on a node whose replicas grow least large by one less, and not beyond the limit.
Index NodeShares::spare_of(Index node, Index taker) const {
  LeastSize least{fewer_.data() + node * width_, vectors_of(node), limit_};
  with_widest_vectors(least);
  if (least.place < 0) return -1;
  const Index found = member_[node * width_ + least.place];
  if (found != taker) return found;
  Index spare = -1;
  float fewest = limit_;
  for (Index i = node * width_; i < node * width_ + num_members_[node]; ++i) {
    if (fewer_[i] < fewest && member_[i] != taker) fewest = fewer_[i], spare = member_[i];
  }
  return spare;
}

// A replica changes nodes.
void NodeShares::move(Index expert, Index from, Index to) {
  ++free_[from], --free_[to];
  load_[from] -= size_[expert], load_[to] += size_[expert];
  if (--on_[place_of(expert, from)] == 0) leave(expert, from);
  if (++on_[place_of(expert, to)] == 1) enter(expert, to);
  write_all(expert);
}

// A node gets so many more replicas of an expert.
void NodeShares::count(Index expert, Index node, std::int32_t more) {
  std::int32_t* on = on_.data() + place_of(expert, 0);
  const float before = size_[expert];
  count_[expert] += more;
  size_[expert] = part(expert, count_[expert]);
  for (Index n = 0; n < locality_.num_nodes; ++n) {
    if (on[n] > 0) load_[n] += static_cast<float>(on[n]) * (size_[expert] - before);
  }
  const std::int32_t there = on[node];
  on[node] += more;
  load_[node] += static_cast<float>(more) * size_[expert];
  free_[node] -= more;
  if (there == 0) enter(expert, node);
  if (on[node] == 0) leave(expert, node);
  write_all(expert);
}

void NodeShares::enter(Index expert, Index node) {
  const Index place = num_members_[node]++;
  at_[place_of(expert, node)] = static_cast<std::int32_t>(place);
  member_[node * width_ + place] = static_cast<std::int32_t>(expert);
  member_home_[node * width_ + place] = home_[expert];
}

// The last one takes the place.
void NodeShares::leave(Index expert, Index node) {
  const Index row = node * width_, last = --num_members_[node];
  std::int32_t& place = at_[place_of(expert, node)];
  for (auto* values : {&member_size_, &more_, &fewer_, &fall_, &added_}) {
    (*values)[row + place] = (*values)[row + last];
  }
  member_home_[row + place] = member_home_[row + last];
  member_[row + place] = member_[row + last];
  at_[place_of(member_[row + place], node)] = place;
  place = -1;
  member_size_[row + last] = more_[row + last] = fewer_[row + last] = kHuge;
  fall_[row + last] = added_[row + last] = 0.0F;
  member_[row + last] = member_home_[row + last] = -1;
}

void NodeShares::write_all(Index expert) {
  const std::int32_t* on = on_.data() + place_of(expert, 0);
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    if (on[node] > 0) write(expert, node);
  }
}

void NodeShares::write(Index expert, Index node) {
  const Index at = node * width_ + at_[place_of(expert, node)], count = count_[expert];
  const float size = size_[expert], then = part(expert, count + 1);
  member_size_[at] = size;
  more_[at] = then;
  fewer_[at] = count > 1 ? part(expert, count - 1) : kHuge;
  fall_[at] = static_cast<float>(on(expert, node)) * (size - then);
  const auto elsewhere = static_cast<float>(count - on(expert, home_[expert]));
  added_[at] = then * (elsewhere + 1.0F) - size * elsewhere;
}

}  // namespace eplb::serving
