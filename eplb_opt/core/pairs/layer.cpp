#include "pairs/layer.hpp"

#include <algorithm>

namespace eplb::pairs {

namespace {

Wide ceil_div(Wide value, Wide divisor) { return (value + divisor - 1) / divisor; }

// The counts that each expert can take: from its fewest to what the others' fewest leave.
class OptionLister {
 public:
  OptionLister(const Layer& layer, Wide level, Index spare)
      : layer_(layer), level_(level), spare_(spare) {}

  Level list() {
    list_thresholds();
    Options& options = found_.options;
    const auto size = static_cast<std::size_t>(layer_.num_experts() * (spare_ + 1));
    options.count.reserve(size);
    options.change.reserve(size);
    options.rank.reserve(size);
    options.first.assign(1, 0);
    for (Index expert = 0; expert < layer_.num_experts(); ++expert) {
      add_expert(expert);
      options.first.push_back(static_cast<std::int32_t>(options.count.size()));
    }
    return std::move(found_);
  }

 private:
  Index last_big(Index expert, Index fewest) const {
    return std::min(layer_.most_big(expert, level_), fewest + spare_);
  }

  void list_thresholds() {
    std::vector<Wide>& threshold = found_.threshold;
    for (Index expert = 0; expert < layer_.num_experts(); ++expert) {
      const Index fewest = layer_.fewest(expert, level_);
      for (Index count = fewest; count <= last_big(expert, fewest); ++count) {
        threshold.push_back(layer_.in_units(expert) / count);
      }
    }
    std::ranges::sort(threshold);
    const auto rest = std::ranges::unique(threshold);
    threshold.erase(rest.begin(), rest.end());
  }

  void add_expert(Index expert) {
    const Index fewest = layer_.fewest(expert, level_);
    const Index big_end = last_big(expert, fewest) + 1;
    const Wide scaled = layer_.in_units(expert);
    const std::vector<Wide>& threshold = found_.threshold;
    for (Index count = fewest; count < big_end; ++count) {
      const auto above = std::ranges::upper_bound(threshold, scaled / count);
      add(count, -count, above - threshold.begin());
    }
    // The keys of small replicas ascend with the count.
    Index rank = 0;
    for (Index count = std::max(fewest, big_end); count <= fewest + spare_; ++count) {
      const Wide key = level_ - ceil_div(scaled, count);
      while (rank < std::ssize(threshold) && threshold[rank] <= key) ++rank;
      add(count, count, rank);
    }
  }

  void add(Index count, Index change, Index rank) {
    found_.options.count.push_back(static_cast<std::int32_t>(count));
    found_.options.change.push_back(static_cast<std::int32_t>(change));
    found_.options.rank.push_back(static_cast<std::int32_t>(rank));
  }

  const Layer& layer_;
  Wide level_;
  Index spare_;
  Level found_;
};

}  // namespace

Layer::Layer(std::span<const std::int64_t> load, int scale_bits, Index num_slots)
    : load_(load.begin(), load.end()), num_slots_(num_slots) {
  scaled_.reserve(load.size());
  for (const std::int64_t tokens : load) scaled_.push_back(static_cast<Wide>(tokens) << scale_bits);
}

Index Layer::fewest(Index expert, Wide level) const {
  const Wide needed = std::max<Wide>(ceil_div(scaled_[expert], level), 1);
  return static_cast<Index>(std::min<Wide>(needed, num_slots_ + 1));
}

Index Layer::most_big(Index expert, Wide level) const {
  if (scaled_[expert] == 0) return 0;
  return static_cast<Index>(std::min<Wide>((2 * scaled_[expert] - 1) / level, num_slots_));
}

std::optional<Level> Level::of(const Layer& layer, Wide level) {
  Index spare = layer.num_slots();
  for (Index expert = 0; expert < layer.num_experts(); ++expert) {
    spare -= layer.fewest(expert, level);
  }
  if (spare < 0) return std::nullopt;
  return OptionLister(layer, level, spare).list();
}

}  // namespace eplb::pairs
