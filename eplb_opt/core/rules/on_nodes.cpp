#include "rules/on_nodes.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <tuple>

namespace eplb::rules {

namespace {

double share_of(std::int64_t load, Index count) {
  return static_cast<double>(load) / static_cast<double>(count);
}

std::vector<Index> by_load(std::span<const std::int64_t> load) {
  std::vector<Index> order(load.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](Index e) { return load[e]; });
  return order;
}

}  // namespace

NodeFiller::NodeFiller(const GpuRules& rules, Index num_experts)
    : rules_(rules),
      packer_(rules, num_experts),
      gpus_(std::ranges::max(rules.unit) + 1),
      slots_(gpus_.size()),
      held_(gpus_.size()),
      households_(gpus_.size()) {
  for (Index gpu = 0; gpu < std::ssize(rules.unit); ++gpu) {
    if (rules.open_slots[gpu] == 0) continue;
    gpus_[rules.unit[gpu]].push_back(gpu);
    slots_[rules.unit[gpu]] += rules.open_slots[gpu];
  }
}

bool NodeFiller::at_home(std::span<const std::int64_t> load, std::span<const std::int64_t> home,
                         std::span<std::int64_t> placed) {
  order_ = by_load(load);
  give_homes(home);
  for (Index node = 0; node < std::ssize(gpus_); ++node) {
    take_others(node);
    if (!give_counts(node, load)) return false;
  }
  return pack_all(placed);
}

void NodeFiller::give_homes(std::span<const std::int64_t> home) {
  for (auto& experts : held_) experts.clear();
  std::vector<std::vector<Index>> homeless(held_.size());
  for (const Index expert : order_) {
    const Index node = home[expert];
    const bool fits = std::ssize(held_[node]) < slots_[node];
    (fits ? held_ : homeless)[node].push_back(expert);
  }
  for (const auto& experts : homeless) {
    for (const Index expert : experts) {
      Index most = 0;
      const auto room = [&](Index node) { return slots_[node] - std::ssize(held_[node]); };
      for (Index node = 1; node < std::ssize(held_); ++node) {
        if (room(node) > room(most)) most = node;
      }
      held_[most].push_back(expert);
    }
  }
}

// The lightest of other nodes' experts where a node has too few: they are least off home.
void NodeFiller::take_others(Index node) {
  Index needed = slots_[node] > 0 ? 1 : 0;
  if (rules_.keeps_apart) {
    for (const Index gpu : gpus_[node]) needed = std::max(needed, rules_.open_slots[gpu]);
  }
  auto& experts = held_[node];
  for (Index i = std::ssize(order_) - 1; i >= 0 && std::ssize(experts) < needed; --i) {
    if (std::ranges::find(experts, order_[i]) == experts.end()) experts.push_back(order_[i]);
  }
}

// Speeds of a node's GPUs, the fastest first; empty where they do not matter for counts.
std::vector<double> NodeFiller::speeds_of(Index node) const {
  std::vector<double> speed;
  if (!rules_.keeps_apart) return speed;
  for (const Index gpu : gpus_[node]) speed.push_back(rules_.speed[gpu]);
  std::ranges::sort(speed, std::greater());
  return speed;
}

// Replicas of the experts of a node: each spare slot makes the largest one smaller. Where they stand
// apart, the last of them is on a slower GPU: one more may then make it worse, and the slot goes to
// where that is least.
bool NodeFiller::give_counts(Index node, std::span<const std::int64_t> load) {
  using Entry = std::tuple<double, Index>;  // the largest replica, then the first expert
  const auto& experts = held_[node];
  const Index most = rules_.keeps_apart ? std::ssize(gpus_[node]) : slots_[node];
  const Index num = std::ssize(experts);
  if (num > slots_[node] || num * most < slots_[node]) return false;
  std::vector<Index> times(num, 1);
  const bool is_uneven = rules_.keeps_apart && !has_equal_gpus(node);
  std::priority_queue<Entry> heap;
  const std::vector<double> speed = speeds_of(node);
  const auto level = [&](Index i, Index n) {
    const double share = share_of(load[experts[i]], n);
    return speed.empty() ? share : share / speed[n - 1];
  };
  const auto offer = [&](Index i) {
    if (times[i] == most) return;
    const double now = level(i, times[i]), then = level(i, times[i] + 1);
    heap.emplace(then <= now ? now : -then, -i);
  };
  for (Index i = 0; i < num; ++i) offer(i);
  for (Index spare = slots_[node] - num; spare > 0;) {
    if (heap.empty()) return false;
    const Index i = -std::get<1>(heap.top());
    heap.pop();
    ++times[i];
    if (is_uneven && !stand_apart(node, times)) {
      --times[i];  // nor will it fit later
      continue;
    }
    --spare;
    offer(i);
  }
  households_[node].clear();
  for (Index i = 0; i < num; ++i) {
    households_[node].add(experts[i], times[i], share_of(load[experts[i]], times[i]));
  }
  return true;
}

bool NodeFiller::has_equal_gpus(Index node) const {
  return std::ranges::all_of(gpus_[node], [&](Index gpu) {
    return rules_.open_slots[gpu] == rules_.open_slots[gpus_[node].front()];
  });
}

// Whether so many replicas find GPUs on which no two of an expert meet: any k experts have at most
// k on each GPU, and what it has slots for (Gale and Ryser).
bool NodeFiller::stand_apart(Index node, std::vector<Index> times) const {
  std::ranges::sort(times, std::greater());
  Index together = 0;
  for (Index k = 1; k <= std::ssize(times); ++k) {
    together += times[k - 1];
    Index most = 0;
    for (const Index gpu : gpus_[node]) most += std::min(rules_.open_slots[gpu], k);
    if (together > most) return false;
  }
  return true;
}

bool NodeFiller::spread(std::span<const std::int64_t> load, std::span<const std::int64_t> first,
                        const Spread& rule, std::span<std::int64_t> placed) {
  count_.assign(first.begin(), first.end());
  take_steps(load, rule);
  choose_nodes(load, rule);
  return pack_all(placed);
}

void NodeFiller::take_steps(std::span<const std::int64_t> load, const Spread& rule) {
  const Index slots = std::reduce(slots_.begin(), slots_.end());
  Index spare = slots - std::reduce(count_.begin(), count_.end());
  using Step = std::tuple<double, Index, Index>;  // worth, negative; expert; size
  std::vector<Step> steps;
  for (Index e = 0; e < std::ssize(load); ++e) {
    if (count_[e] >= std::ssize(rule.steps)) continue;
    for (const CountStep& step : rule.steps[count_[e]]) {
      steps.emplace_back(-static_cast<double>(load[e]) * step.worth, e, step.size);
    }
  }
  std::ranges::sort(steps);
  std::vector<char> is_full(load.size());
  for (const auto& [worth, expert, size] : steps) {
    if (size > spare || is_full[expert]) {
      is_full[expert] = true;  // its further steps begin where this one ends
      continue;
    }
    count_[expert] += size;
    spare -= size;
  }
  std::priority_queue<std::pair<double, Index>> heap;
  for (Index e = 0; e < std::ssize(load) && spare > 0; ++e) {
    heap.emplace(share_of(load[e], count_[e]), -e);
  }
  for (; spare > 0; --spare) {  // what no whole step fits into
    const Index expert = -heap.top().second;
    heap.pop();
    ++count_[expert];
    heap.emplace(share_of(load[expert], count_[expert]), -expert);
  }
}

// Many replicas first, and of equally many the heaviest.
void NodeFiller::choose_nodes(std::span<const std::int64_t> load, const Spread& rule) {
  order_ = by_load(load);
  std::ranges::stable_sort(order_, std::greater(), [&](Index e) { return count_[e]; });
  const Index num_nodes = std::ssize(gpus_);
  std::vector<Index> room = slots_, on_node(num_nodes);
  std::vector<double> carried(num_nodes), per_gpu(num_nodes);
  for (Index n = 0; n < num_nodes; ++n) {
    per_gpu[n] = 1.0 / static_cast<double>(std::max<Index>(std::ssize(gpus_[n]), 1));
    households_[n].clear();
  }
  for (const Index expert : order_) {
    const Index times = count_[expert];
    const double part = share_of(load[expert], times);
    std::ranges::fill(on_node, 0);
    for (Index place = 0; place < times; ++place) {
      Index node = -1;
      if (times < std::ssize(rule.nodes) && !rule.nodes[times].empty()) {
        node = rule.nodes[times][place];
      }
      if (node < 0 || room[node] == 0) {
        // One without the expert, of these the one with the least load a GPU.
        node = -1;
        for (Index n = 0; n < num_nodes; ++n) {
          if (room[n] == 0) continue;
          const auto key = [&](Index i) { return std::pair(on_node[i], carried[i] * per_gpu[i]); };
          if (node < 0 || key(n) < key(node)) node = n;
        }
      }
      ++on_node[node];
      --room[node];
      carried[node] += part;
    }
    for (Index n = 0; n < num_nodes; ++n) {
      if (on_node[n] > 0) households_[n].add(expert, on_node[n], part);
    }
  }
}

bool NodeFiller::pack_all(std::span<std::int64_t> placed) {
  for (Index node = 0; node < std::ssize(gpus_); ++node) {
    if (!packer_.pack(gpus_[node], households_[node], placed)) return false;
  }
  return true;
}

void level_homes(std::span<const std::int64_t> load, Table<const double> price,
                 std::span<const double> part, std::span<const std::int64_t> room,
                 std::span<std::int64_t> home) {
  const Index num_nodes = std::ssize(part);
  const double total = static_cast<double>(
      std::max<std::int64_t>(std::reduce(load.begin(), load.end(), std::int64_t{0}), 1));
  std::vector<double> held(num_nodes);
  std::vector<Index> left(room.begin(), room.end());
  double largest = 1.0;
  for (const Index expert : by_load(load)) {
    const double weight = static_cast<double>(load[expert]) / total;
    double least = std::numeric_limits<double>::infinity();
    Index chosen = -1;
    for (Index n = 0; n < num_nodes; ++n) {
      if (left[n] == 0) continue;
      const double above = (held[n] + weight) / part[n] - largest;
      const double cost = price(expert, n) + std::max(above, 0.0);
      if (cost < least) {
        least = cost;
        chosen = n;
      }
    }
    home[expert] = chosen;
    held[chosen] += weight;
    --left[chosen];
    largest = std::max(largest, held[chosen] / part[chosen]);
  }
}

}  // namespace eplb::rules
