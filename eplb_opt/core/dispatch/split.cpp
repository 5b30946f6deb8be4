#include "dispatch/split.hpp"

#include <algorithm>
#include <cmath>

namespace eplb::dispatch {

namespace {

// Four sums side by side, because one chain of additions would take four times as long.
double total(std::span<const double> load) {
  double sums[4] = {0.0, 0.0, 0.0, 0.0};
  const std::size_t in_fours = load.size() / 4 * 4;
  for (std::size_t i = 0; i < in_fours; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += load[i + lane];
  }
  for (std::size_t i = in_fours; i < load.size(); ++i) sums[0] += load[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

double Splitter::split(const LayerRoutes& routes, std::span<const double> load,
                       std::span<double> weights) {
  // Loads so large or small that products with them may leave float64 are taken in another unit.
  constexpr double kLargest = 1e200, kSmallest = 1e-200;
  const double tokens = total(load);
  double level = 0.0;
  if (tokens > kSmallest && tokens < kLargest) {
    level = split_moderate(routes, load, tokens);
  } else if (tokens > 0.0) {
    const int exponent = std::ilogb(tokens);
    scaled_.resize(load.size());
    std::ranges::transform(load, scaled_.begin(),
                           [exponent](double w) { return std::scalbn(w, -exponent); });
    level = std::scalbn(split_moderate(routes, scaled_, total(scaled_)), exponent);
  } else {
    start(flow_, routes, load);
  }
  share_out(routes, load, weights);
  return level / speeds_.fastest();
}

double Splitter::split_moderate(const LayerRoutes& routes, std::span<const double> load,
                                double tokens) {
  start(flow_, routes, load);
  const double target = std::max(tokens / speeds_.total(), highest_alone(routes));
  for (Index i = 0; i < effort_.num_sweeps; ++i) sweep(flow_, routes, speeds_, load);
  const Index enough = 16 * (routes.num_gpus + routes.num_pairs());  // an end in any case
  return paths_.level_out(flow_, routes, target, std::min(enough, effort_.most_searches));
}

// What experts with one host make of the levels, before any other is poured.
double Splitter::highest_alone(const LayerRoutes& routes) const {
  double highest = 0.0;
  for (Index g = 0; g < routes.num_gpus; ++g) {
    highest = std::max(highest, flow_.level[g] / speeds_[g]);
  }
  return highest;
}

// Flows become shares of the expert's tokens, and the slots of a pair get equal parts.
void Splitter::share_out(const LayerRoutes& routes, std::span<const double> load,
                         std::span<double> weights) {
  constexpr double kEven = -1.0;  // an expert without load, which is split evenly
  std::ranges::copy(routes.even, weights.begin());
  for (Index i = 0; i < std::ssize(routes.many); ++i) {
    const Index begin = routes.first[i], end = routes.first[i + 1];
    double sum = 0.0;
    for (Index pair = begin; pair < end; ++pair) sum += flow_.pair[pair];
    const bool has_load = load[routes.many[i]] > 0.0;
    for (Index pair = begin; pair < end; ++pair) {
      flow_.pair[pair] = has_load ? flow_.pair[pair] / sum : kEven;
    }
  }
  for (Index i = 0; i < std::ssize(routes.slot); ++i) {
    const double share = flow_.pair[routes.slot_pair[i]];
    if (share >= 0.0) weights[routes.slot[i]] = share * routes.part[routes.slot_pair[i]];
  }
}

}  // namespace eplb::dispatch
