#include "serving/node_pairs.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "common/lanes.hpp"
#include "serving/node_scans.hpp"

namespace eplb::serving {

namespace {

// Of the experts whose replicas are about as large as the largest, the one that has most of them gets
// the next: all of them fall with it. What "about" is, differs from layer to layer.
constexpr float kNearLargest[] = {0.97F, 1.0F, 0.94F};

}  // namespace

NodePairs::NodePairs(const Locality& locality)
    : locality_(locality),
      grid_(locality),
      experts_(locality.num_experts),
      found_(locality.num_slots),
      best_(locality.num_slots),
      size_(locality.num_experts),
      count_(locality.num_experts),
      width_((locality.gpus_per_node() + kEight - 1) / kEight * kEight),
      open_(locality.num_nodes * width_),
      num_(locality.num_nodes),
      free_(locality.num_nodes),
      wanted_(locality.num_nodes),
      least_(locality.num_nodes) {
  split_.reserve(locality.num_slots);
}

void NodePairs::plan(std::span<const std::int64_t> weight, std::span<const Index> homes,
                     std::span<std::int64_t> placed) {
  sort_experts(weight);
  largest_ = kHuge;
  for (const float near : kNearLargest) {
    const float largest = replicate(near, found_);
    if (largest >= largest_) continue;
    largest_ = largest;
    std::swap(found_, best_);
  }
  place_large(homes, placed);
  place_small(homes, placed);
}

void NodePairs::sort_experts(std::span<const std::int64_t> weight) {
  double total = 0.0;
  for (const std::int64_t each : weight) total += static_cast<double>(each);
  const double scale = total > 0.0 ? static_cast<double>(locality_.num_gpus) / total : 1.0;
  for (Index expert = 0; expert < locality_.num_experts; ++expert) {
    experts_[expert] = {static_cast<float>(static_cast<double>(weight[expert]) * scale), expert};
  }
  std::ranges::sort(experts_, std::greater{});
}

// Choose replicas, the largest first; the largest sum of a pair.
float NodePairs::replicate(float near, std::vector<Replica>& replicas) {
  const Index num_experts = locality_.num_experts, num_slots = locality_.num_slots;
  Index end = 0;  // of the experts that may have several
  for (Index i = num_experts; i < num_slots; ++i) {
    float most = end < num_experts ? experts_[end].size() : 0.0F;
    for (Index at = 0; at < end; ++at) most = std::max(most, size_[at]);
    for (; end < num_experts && experts_[end].size() >= near * most; ++end) {
      size_[end] = experts_[end].size();
      count_[end] = 1;
    }
    Index taker = -1;
    for (Index at = 0; at < end; ++at) {
      if (size_[at] < near * most) continue;
      if (taker < 0 || count_[at] > count_[taker] ||
          (count_[at] == count_[taker] && size_[at] > size_[taker])) {
        taker = at;
      }
    }
    size_[taker] = experts_[taker].size() / static_cast<float>(++count_[taker]);
  }
  split_.clear();
  for (Index at = 0; at < end; ++at) {
    for (std::int32_t i = 0; i < count_[at]; ++i) split_.push_back({size_[at], experts_[at].which()});
  }
  std::ranges::sort(split_, std::greater{});
  std::merge(split_.begin(), split_.end(), experts_.begin() + end, experts_.end(), replicas.begin(),
             std::greater{});
  float largest = 0.0F;
  for (Index i = 0; i < locality_.num_gpus; ++i) {
    largest = std::max(largest, replicas[i].size() + replicas[num_slots - 1 - i].size());
  }
  return largest;
}

void NodePairs::place_large(std::span<const Index> homes, std::span<std::int64_t> placed) {
  std::ranges::fill(num_, 0);
  std::ranges::fill(least_, kHuge);
  std::ranges::fill(open_, kHuge);
  split_.clear();
  for (Index i = 0; i < locality_.num_gpus; ++i) {
    const Index home = home_of(best_[i], homes);
    if (num_[home] < locality_.gpus_of(home)) {
      hold(best_[i], home, placed);
    } else {
      split_.push_back(best_[i]);
    }
  }
  for (const Replica& homeless : split_) {
    Index found = 0, most = -1;
    for (Index node = 0; node < locality_.num_nodes; ++node) {
      const Index room = locality_.gpus_of(node) - num_[node];
      if (room > most) most = room, found = node;
    }
    hold(homeless, found, placed);
  }
}

void NodePairs::hold(const Replica& large, Index node, std::span<std::int64_t> placed) {
  const Index in_node = num_[node]++;
  placed[2 * (node * locality_.gpus_per_node() + in_node)] = large.which();
  open_[node * width_ + in_node] = large.size();
  least_[node] = std::min(least_[node], large.size());
}

void NodePairs::place_small(std::span<const Index> homes, std::span<std::int64_t> placed) {
  std::ranges::fill(wanted_, 0);
  for (Index node = 0; node < locality_.num_nodes; ++node) free_[node] = locality_.gpus_of(node);
  const Index first = locality_.num_gpus;
  for (Index i = first; i < locality_.num_slots; ++i) ++wanted_[home_of(best_[i], homes)];
  for (Index i = first; i < locality_.num_slots; ++i) {
    const float size = best_[i].size();
    Index node = home_of(best_[i], homes);
    --wanted_[node];
    if (least_[node] + size > largest_) node = roomiest(size);
    BestFit fit{open_.data() + node * width_, width_ / kEight, size, largest_};
    with_widest_vectors(fit);
    placed[2 * (node * locality_.gpus_per_node() + fit.place) + 1] = best_[i].which();
    --free_[node];
    least_[node] = fit.least_left;
  }
}

// The node with most slots beyond what wants them, of those where a replica fits.
Index NodePairs::roomiest(float size) const {
  Index found = -1, most = std::numeric_limits<Index>::min();
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const bool fits = least_[node] + size <= largest_;
    const Index room = fits ? free_[node] - wanted_[node] : most;
    found = room > most ? node : found;
    most = std::max(room, most);
  }
  return found;
}

}  // namespace eplb::serving
