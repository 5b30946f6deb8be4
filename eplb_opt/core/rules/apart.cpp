#include "rules/apart.hpp"

#include <algorithm>
#include <limits>
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
        open_(num_gpus),
        slowness_(num_gpus, 1.0),
        held_(num_gpus),
        holds_(load.size() * num_gpus) {
    for (Index e = 0; e < std::ssize(load); ++e) {
      share_.push_back(static_cast<double>(load[e]) / static_cast<double>(count_[e]));
    }
  }

  void run() {
    std::vector<Index> order(share_.size());
    std::iota(order.begin(), order.end(), 0);
    // Hottest first: a hot replica placed late finds no cool GPU left.
    std::ranges::stable_sort(order, std::greater(), [this](Index e) { return share_[e]; });
    for (const Index expert : order) {
      for (Index i = 0; i < count_[expert]; ++i) {
        Index gpu = lightest(expert, open_);
        if (gpu < 0) gpu = make_way(expert);
        put(expert, gpu);
      }
    }
  }

  const std::vector<std::vector<Index>>& held() const { return held_; }

 private:
  bool holds(Index gpu, Index expert) const { return holds_[expert * num_gpus() + gpu]; }
  Index num_gpus() const { return std::ssize(held_); }

  // Of the GPUs without the expert the least filled, the first of equals; -1 where all have it.
  Index lightest(Index expert, std::span<const double> filled) const {
    return lightest_gpu(filled, slowness_, 0.0, [&](Index gpu) { return !holds(gpu, expert); });
  }

  void put(Index expert, Index gpu) {
    held_[gpu].push_back(expert);
    holds_[expert * num_gpus() + gpu] = true;
    add_load(gpu, share_[expert]);
  }

  void add_load(Index gpu, double change) {
    filled_[gpu] += change;
    const bool is_full = std::ssize(held_[gpu]) == slots_per_gpu_;
    open_[gpu] = is_full ? std::numeric_limits<double>::infinity() : filled_[gpu];
  }

  // Moves a replica from a full GPU without the expert to the open one; returns the full GPU.
  //
  // There is such a GPU, for the expert has fewer replicas placed than there are GPUs; and being
  // full, it holds more experts than the open one, so one of them is not there yet.
  Index make_way(Index expert) {
    const Index open_gpu = std::ranges::min_element(open_) - open_.begin();
    const Index gpu = lightest(expert, filled_);
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
  std::vector<double> open_;  // as filled_, and infinite for GPUs without room
  std::vector<double> slowness_;
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
