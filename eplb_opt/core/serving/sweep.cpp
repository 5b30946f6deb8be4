#include "serving/sweep.hpp"

#include <cstdlib>

namespace eplb::serving {

namespace {

// GPUs by descending load, the first of equals first.
void sort_gpus(std::span<const std::int64_t> load, std::vector<Index>& order) {
  order.resize(load.size());
  for (Index gpu = 0; gpu < std::ssize(load); ++gpu) {
    Index hole = gpu;
    for (; hole > 0 && load[order[hole - 1]] < load[gpu]; --hole) order[hole] = order[hole - 1];
    order[hole] = gpu;
  }
}

void level(const Plan& plan, Index heavy, Index light) {
  const std::int64_t gap = plan.load[heavy] - plan.load[light];
  std::int64_t least = gap;
  Index from = -1, to = -1;
  for (Index p = heavy; p < plan.num_slots(); p += plan.num_gpus()) {
    for (Index q = light; q < plan.num_slots(); q += plan.num_gpus()) {
      const std::int64_t apart = std::abs(gap - 2 * (plan.size[p] - plan.size[q]));
      if (apart < least) least = apart, from = p, to = q;
    }
  }
  if (from >= 0) plan.swap(from, to);
}

}  // namespace

void sweep(const Plan& plan, std::vector<Index>& order) {
  sort_gpus(plan.load, order);
  const Index num_gpus = plan.num_gpus();
  for (Index i = 0; i < num_gpus / 2; ++i) level(plan, order[i], order[num_gpus - 1 - i]);
}

}  // namespace eplb::serving
