#include "rules/apart.hpp"

#include <algorithm>
#include <numeric>
#include <queue>
#include <vector>

#include "rules/lightest.hpp"

namespace eplb::rules {

namespace {

// Greedy replication with at most `most` replicas an expert.
std::vector<Index> capped_counts(std::span<const std::int64_t> load, Index num_slots, Index most) {
  using Entry = std::pair<double, Index>;  // the largest replica, then the first expert
  std::vector<Index> count(load.size(), 1);
  std::priority_queue<Entry> heap;
  for (Index e = 0; e < std::ssize(load); ++e) heap.emplace(static_cast<double>(load[e]), -e);
  for (Index spare = num_slots - std::ssize(load); spare > 0;) {
    const Index expert = -heap.top().second;
    heap.pop();
    if (count[expert] == most) continue;
    ++count[expert];
    --spare;
    heap.emplace(static_cast<double>(load[expert]) / static_cast<double>(count[expert]), -expert);
  }
  return count;
}

class Node {
 public:
  Node(std::span<const std::int64_t> load, Index num_gpus, Index slots_per_gpu)
      : slots_per_gpu_(slots_per_gpu),
        count_(capped_counts(load, num_gpus * slots_per_gpu, num_gpus)),
        filled_(num_gpus),
        open_(std::vector<double>(num_gpus, 1.0)),
        held_(num_gpus),
        holds_(load.size() * num_gpus) {
    for (Index e = 0; e < std::ssize(load); ++e) {
      share_.push_back(static_cast<double>(load[e]) / static_cast<double>(count_[e]));
    }
    for (Index gpu = 0; gpu < num_gpus; ++gpu) open_.set(gpu, 0.0);
  }

  void run() {
    std::vector<Index> order(share_.size());
    std::iota(order.begin(), order.end(), 0);
    // Hottest first: a hot replica placed late finds no cool GPU left.
    std::ranges::stable_sort(order, std::greater(), [this](Index e) { return share_[e]; });
    for (const Index expert : order) {
      for (Index i = 0; i < count_[expert]; ++i) {
        Index gpu = open_.lightest(0.0, [&](Index g) { return !holds(g, expert); });
        if (gpu < 0) gpu = make_way(expert);
        put(expert, gpu);
      }
    }
  }

  const std::vector<std::vector<Index>>& held() const { return held_; }

 private:
  bool holds(Index gpu, Index expert) const { return holds_[expert * num_gpus() + gpu]; }
  bool has_room(Index gpu) const { return std::ssize(held_[gpu]) < slots_per_gpu_; }
  Index num_gpus() const { return std::ssize(held_); }

  void put(Index expert, Index gpu) {
    held_[gpu].push_back(expert);
    holds_[expert * num_gpus() + gpu] = true;
    add_load(gpu, share_[expert]);
  }

  void add_load(Index gpu, double change) {
    filled_[gpu] += change;
    if (has_room(gpu)) {
      open_.set(gpu, filled_[gpu]);
    } else {
      open_.close(gpu);
    }
  }

  // Moves a replica from a full GPU without the expert to the open one; returns the full GPU.
  //
  // There is such a GPU, for the expert has fewer replicas placed than there are GPUs; and being
  // full, it holds more experts than the open one, so one of them is not there yet.
  Index make_way(Index expert) {
    Index open_gpu = 0, gpu = -1;
    while (!has_room(open_gpu)) ++open_gpu;
    for (Index g = 0; g < num_gpus(); ++g) {
      if (!holds(g, expert) && (gpu < 0 || filled_[g] < filled_[gpu])) gpu = g;
    }
    const auto moved = std::ranges::find_if(
        held_[gpu], [&](Index other) { return !holds(open_gpu, other); });
    const Index other = *moved;
    held_[gpu].erase(moved);
    holds_[other * num_gpus() + gpu] = false;
    add_load(gpu, -share_[other]);
    put(other, open_gpu);
    return gpu;
  }

  Index slots_per_gpu_;
  std::vector<Index> count_;
  std::vector<double> share_, filled_;
  OpenGpus open_;
  std::vector<std::vector<Index>> held_;
  std::vector<char> holds_;  // [num_experts x num_gpus]
};

}  // namespace

void place_apart(std::span<const std::int64_t> load, Index num_gpus,
                 std::span<std::int64_t> placed) {
  const Index slots_per_gpu = std::ssize(placed) / num_gpus;
  Node node(load, num_gpus, slots_per_gpu);
  node.run();
  for (Index gpu = 0; gpu < num_gpus; ++gpu) {
    std::ranges::copy(node.held()[gpu], placed.begin() + gpu * slots_per_gpu);
  }
}

}  // namespace eplb::rules
