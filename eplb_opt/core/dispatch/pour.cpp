#include "dispatch/pour.hpp"

#include <algorithm>
#include <type_traits>

namespace eplb::dispatch {

namespace {

template <typename AnySpeeds>
class Pourer {
 public:
  Pourer(Flow& flow, const LayerRoutes& routes, const AnySpeeds& speeds)
      : level_(flow.level), flow_(flow.pair), routes_(routes), speeds_(speeds) {}

  void sweep(std::span<const double> load) {
    const Index num_many = std::ssize(routes_.many);
    // Beside a much faster GPU the difference below would leave nothing right of the slow one's.
    const Index num_quick = std::is_same_v<AnySpeeds, EvenSpeeds> ? routes_.num_twins : 0;
    for (Index i = 0; i < num_quick; ++i) pour_on_two(2 * i, load[routes_.many[i]]);
    for (Index i = num_quick; i < num_many; ++i) {
      pour(routes_.first[i], routes_.first[i + 1], load[routes_.many[i]]);
    }
  }

 private:
  // `pour` for two hosts of equal speed.
  void pour_on_two(Index pair, double tokens) {
    const Index a = routes_.gpu[pair], b = routes_.gpu[pair + 1];
    const double left = level_[a] - flow_[pair], right = level_[b] - flow_[pair + 1];
    const double share = std::min(std::max(0.5 * (tokens + right - left), 0.0), tokens);
    flow_[pair] = share;
    flow_[pair + 1] = tokens - share;
    level_[a] = left + share;
    level_[b] = right + (tokens - share);
  }

  void pour(Index begin, Index end, double tokens) {
    for (Index pair = begin; pair < end; ++pair) level_[routes_.gpu[pair]] -= flow_[pair];
    const double water = water_level(begin, end, tokens);
    double total = 0.0;
    for (Index pair = begin; pair < end; ++pair) {
      const Index g = routes_.gpu[pair];
      flow_[pair] = std::max(water * speeds_[g] - level_[g], 0.0);
      total += flow_[pair];
    }
    if (total <= 0.0) {  // tokens that are rounding beside the levels may go anywhere
      flow_[begin] = total = 1.0;
    }
    const double scale = tokens / total;
    for (Index pair = begin; pair < end; ++pair) {
      flow_[pair] *= scale;
      level_[routes_.gpu[pair]] += flow_[pair];
    }
  }

  // The level over speed that so many tokens reach on these hosts.
  double water_level(Index begin, Index end, double tokens) const {
    double volume = tokens, width = 0.0;
    for (Index pair = begin; pair < end; ++pair) {
      volume += level_[routes_.gpu[pair]];
      width += speeds_[routes_.gpu[pair]];
    }
    for (Index num_wet = end - begin;;) {  // hosts above the water are left out, and it sinks
      Index wet = 0;
      double wet_volume = tokens, wet_width = 0.0;
      for (Index pair = begin; pair < end; ++pair) {
        const Index g = routes_.gpu[pair];
        if (level_[g] * width < volume * speeds_[g]) {
          ++wet;
          wet_volume += level_[g];
          wet_width += speeds_[g];
        }
      }
      if (wet >= num_wet || wet == 0) return volume / width;  // rounding may wet a dry one again
      num_wet = wet;
      volume = wet_volume;
      width = wet_width;
    }
  }

  std::span<double> level_, flow_;
  const LayerRoutes& routes_;
  const AnySpeeds& speeds_;
};

}  // namespace

void start(Flow& flow, const LayerRoutes& routes, std::span<const double> load) {
  flow.level.assign(routes.num_gpus, 0.0);
  flow.pair.assign(routes.num_pairs(), 0.0);
  for (Index i = 0; i < std::ssize(routes.alone); ++i) {
    flow.level[routes.alone_gpu[i]] += load[routes.alone[i]];
  }
}

void sweep(Flow& flow, const LayerRoutes& routes, const Speeds& speeds,
           std::span<const double> load) {
  if (speeds.are_even()) {
    Pourer(flow, routes, EvenSpeeds()).sweep(load);
  } else {
    Pourer(flow, routes, speeds).sweep(load);
  }
}

}  // namespace eplb::dispatch
