#include "serving/worth.hpp"

#include <algorithm>
#include <numeric>

#include "serving/fixed_point.hpp"
#include "serving/group_nodes.hpp"
#include "serving/partition.hpp"

namespace eplb::serving {

Assessor::Assessor(const Locality& locality)
    : locality_(locality),
      grid_(locality),
      size_(locality.num_experts),
      load_(locality.num_gpus),
      served_(locality.num_groups * locality.num_nodes),
      count_(locality.num_experts) {}

void Assessor::look(std::span<const std::int64_t> weight, std::span<const std::int64_t> placed) {
  const Index num_nodes = locality_.num_nodes, num_slots = std::ssize(placed);
  std::ranges::fill(count_, 0);
  std::ranges::fill(load_, 0);
  std::ranges::fill(served_, 0);
  for (const std::int64_t expert : placed) ++count_[expert];
  for (Index expert = 0; expert < std::ssize(weight); ++expert) {
    // A division takes as long as all the rest.
    size_[expert] = count_[expert] > 1 ? weight[expert] / count_[expert] : weight[expert];
  }
  for (Index slot = 0; slot < num_slots; ++slot) {
    const std::int64_t expert = placed[slot], size = size_[expert];
    load_[grid_.gpu[slot]] += size;
    served_[grid_.group[expert] * num_nodes + grid_.node[slot]] += size;
  }
  total_ = largest_ = most_kept_ = 0;
  for (const std::int64_t load : load_) total_ += load, largest_ = std::max(largest_, load);
  for (Index group = 0; group < locality_.num_groups; ++group) {
    most_kept_ += std::ranges::max(std::span(served_).subspan(group * num_nodes, num_nodes));
  }
}

Worth Assessor::worth(std::span<std::int64_t> homes) const {
  const std::vector<Index> nodes = best_homes(locality_, served_);
  std::ranges::copy(nodes, homes.begin());
  std::int64_t kept = 0;
  for (Index group = 0; group < locality_.num_groups; ++group) {
    kept += served_[group * locality_.num_nodes + nodes[group]];
  }
  const auto away = static_cast<double>(total_ - kept);
  return {largest_, away, locality_.cost(largest_, away)};
}

double strict_bound(const Locality& locality, std::span<const std::int64_t> weight, double enough) {
  const Index num_groups = locality.num_groups, num_nodes = locality.num_nodes;
  const auto total = std::accumulate(weight.begin(), weight.end(), std::int64_t{0});
  const auto level = static_cast<double>(total);
  if (num_groups > kMostGroups || num_groups % num_nodes != 0 ||
      locality.num_experts % num_groups != 0) {
    return level;
  }
  // The heaviest group is with others, the lightest ones at best.
  std::vector<std::int64_t> loads(num_groups);
  const Index size = locality.group_size(), per_node = num_groups / num_nodes;
  for (Index group = 0; group < num_groups; ++group) {
    const auto first = weight.begin() + group * size;
    loads[group] = std::accumulate(first, first + size, std::int64_t{0});
  }
  std::ranges::sort(loads);
  const std::int64_t least =
      std::accumulate(loads.begin(), loads.begin() + per_node - 1, loads.back());
  const double clear = locality.cost(least / locality.gpus_per_node(), 0.0);
  if (clear >= enough) return enough;
  const FixedLoads alone{{weight.begin(), weight.end()}, {1.0}, locality.num_experts};
  const std::vector<std::int64_t> members = lightest_partition(alone, num_groups, num_nodes);
  std::int64_t heaviest = 0;
  const Index node_size = locality.num_experts / num_nodes;
  for (Index first = 0; first < std::ssize(members); first += node_size) {
    std::int64_t load = 0;
    for (Index i = first; i < first + node_size; ++i) load += weight[members[i]];
    heaviest = std::max(heaviest, load / locality.gpus_per_node());
  }
  return std::max(level, locality.cost(heaviest, 0.0));
}

}  // namespace eplb::serving
