#include "scoring/least_level.hpp"

#include <algorithm>
#include <numeric>

#include "scoring/network.hpp"

namespace eplb::scoring {

namespace {

class Newton {
 public:
  Newton(const Network& network, std::span<const std::int64_t> rate, std::span<bool> is_tight)
      : network_(network), rate_(rate), is_tight_(is_tight) {}

  std::int64_t run() {
    Ratio level = first_level();
    while (Flow(network_, rate_, level).is_short(is_tight_)) level = ratio_of_tight();
    return level.tokens;
  }

 private:
  // The best of the sets that are seen at once: all GPUs, one GPU, one expert's hosts.
  Ratio first_level() {
    std::ranges::fill(is_tight_, true);
    Ratio best = ratio_of_tight();
    const auto offer = [&](const Ratio& found, std::span<const std::int32_t> gpus) {
      if (!(found > best)) return;
      best = found;
      std::ranges::fill(is_tight_, false);
      for (const std::int32_t gpu : gpus) is_tight_[gpu] = true;
    };
    for (std::int32_t gpu = 0; gpu < network_.num_gpus(); ++gpu) {
      offer({network_.fixed[gpu], rate_[gpu]}, {&gpu, 1});
    }
    for (Index expert = 0; expert < network_.num_experts(); ++expert) {
      if (!network_.is_free(expert)) continue;
      Ratio found{network_.load[expert], 0};
      for (const std::int32_t gpu : network_.hosts(expert)) {
        found.tokens += network_.fixed[gpu];
        found.rate += rate_[gpu];
      }
      offer(found, network_.hosts(expert));
    }
    return best;
  }

  // What the experts that stand on the tight GPUs alone make of their load.
  Ratio ratio_of_tight() const {
    Ratio ratio{0, 0};
    for (Index gpu = 0; gpu < network_.num_gpus(); ++gpu) {
      if (!is_tight_[gpu]) continue;
      ratio.tokens += network_.fixed[gpu];
      ratio.rate += rate_[gpu];
    }
    for (Index expert = 0; expert < network_.num_experts(); ++expert) {
      const auto hosts = network_.hosts(expert);
      const bool is_inside = network_.is_free(expert) &&
                             std::ranges::all_of(hosts, [this](auto gpu) { return is_tight_[gpu]; });
      if (is_inside) ratio.tokens += network_.load[expert];
    }
    return ratio;
  }

  const Network& network_;
  std::span<const std::int64_t> rate_;
  std::span<bool> is_tight_;
};

// Whether the products of any tokens with any rates stay below 2**126.
bool fits(std::span<const std::int64_t> load, std::span<const std::int64_t> rate) {
  const auto add = [](Wide sum, std::int64_t value) { return sum + value; };
  const Wide tokens = std::accumulate(load.begin(), load.end(), Wide{0}, add);
  const Wide rates = std::accumulate(rate.begin(), rate.end(), Wide{0}, add);
  constexpr Wide kMostTokens = Wide{1} << 62, kMostOfBoth = Wide{1} << 126;
  return tokens <= kMostTokens && (tokens == 0 || rates <= kMostOfBoth / tokens);
}

}  // namespace

Tight least_level(std::span<const std::int64_t> load, std::span<const std::int64_t> placed,
                  std::span<const std::int64_t> rate, std::span<bool> is_tight) {
  if (!fits(load, rate)) return {false, 0};
  const Network network(load, placed, std::ssize(rate));
  return {true, Newton(network, rate, is_tight).run()};
}

}  // namespace eplb::scoring
