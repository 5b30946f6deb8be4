#include "serving/sweep.hpp"

#include <cmath>
#include <cstdlib>

#include "common/wide.hpp"

namespace eplb::serving {

namespace {

// Replicas of a GPU are looked at in vectors of so many.
constexpr Index kVector = 4;

// GPUs by descending load, the first of equals first.
void sort_gpus(std::span<const std::int64_t> load, std::vector<Index>& order) {
  order.resize(load.size());
  for (Index gpu = 0; gpu < std::ssize(load); ++gpu) {
    Index hole = gpu;
    for (; hole > 0 && load[order[hole - 1]] < load[gpu]; --hole) order[hole] = order[hole - 1];
    order[hole] = gpu;
  }
}

// Twice the sizes of a GPU's replicas, padded with far ones to whole vectors.
Index twice_sizes(const Plan& plan, Index gpu, std::vector<double>& twice) {
  constexpr double kFar = 4e18;
  twice.clear();
  for (Index p = gpu; p < plan.num_slots(); p += plan.num_gpus()) {
    twice.push_back(2.0 * static_cast<double>(plan.size[p]));
  }
  while (twice.size() % kVector != 0) twice.push_back(kFar);
  return std::ssize(twice);
}

struct Exchanged {
  Index given, taken;  // places on the heavy and on the light GPU
};

// The exchange that leaves the least difference, the first of equals. In doubles, which have it to
// a part in 2**52.
EPLB_WIDE Exchanged least_apart(double gap, const double* heavy, Index num_heavy,
                                const double* light, Index num_light) {
  double least = 8e18;
  Exchanged found{0, 0};
  for (Index i = 0; i < num_heavy; ++i) {
    const double without = gap - heavy[i];
    double low[kVector] = {8e18, 8e18, 8e18, 8e18};
    for (Index first = 0; first < num_light; first += kVector) {
      for (Index k = 0; k < kVector; ++k) {
        const double apart = std::fabs(without + light[first + k]);
        low[k] = apart < low[k] ? apart : low[k];
      }
    }
    const double left = low[0] < low[2] ? low[0] : low[2], right = low[1] < low[3] ? low[1] : low[3];
    const double best = left < right ? left : right;
    if (best < least) least = best, found.given = i;
  }
  const double without = gap - heavy[found.given];
  while (std::fabs(without + light[found.taken]) != least) ++found.taken;
  return found;
}

// What the sizes of two GPUs are copied to.
struct Sizes {
  std::vector<double> heavy, light;
};

void level(const Plan& plan, Index heavy, Index light, Sizes& sizes) {
  const std::int64_t gap = plan.load[heavy] - plan.load[light];
  const Index num_gpus = plan.num_gpus(), num_places = plan.slots_per_gpu();
  twice_sizes(plan, heavy, sizes.heavy);
  const Index num_light = twice_sizes(plan, light, sizes.light);
  const auto [given, taken] = least_apart(static_cast<double>(gap), sizes.heavy.data(), num_places,
                                          sizes.light.data(), num_light);
  const Index p = heavy + given * num_gpus, q = light + taken * num_gpus;
  if (std::abs(gap - 2 * (plan.size[p] - plan.size[q])) < gap) plan.swap(p, q);
}

}  // namespace

void sweep(const Plan& plan, std::vector<Index>& order) {
  sort_gpus(plan.load, order);
  const Index num_gpus = plan.num_gpus();
  Sizes sizes;
  for (Index i = 0; i < num_gpus / 2; ++i) {
    level(plan, order[i], order[num_gpus - 1 - i], sizes);
  }
}

}  // namespace eplb::serving
