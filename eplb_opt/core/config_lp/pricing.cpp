#include "config_lp/pricing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace eplb::config_lp {

namespace {

// Pairs of rows that are worth sorting their sums.
constexpr Index kMostJoined = 60'000;
// Cells of the grid that serves instead, for each row that thinning leaves of it.
constexpr Index kCoarser = 2, kFiner = 16;
// No node has as many slots; sums of counts up to it stay in int64.
constexpr double kManyCounts = 1e12;

// Grows the fronts that two halves of the slots need, each once.
class Grower {
 public:
  Grower(const Replicas& replicas, Effort effort, Index most_slots)
      : replicas_(replicas), effort_(effort), fronts_(most_slots + 1) {}

  const Front& front(Index num_slots) {
    std::optional<Front>& known = fronts_[num_slots];
    if (!known) known = thinned_front(grow(num_slots), effort_.length, effort_.turn);
    return *known;
  }
  std::vector<std::optional<Front>> take() { return std::move(fronts_); }

 private:
  Front grow(Index num_slots) {
    if (num_slots == 0) return empty_front();
    if (num_slots == 1) return single_front(replicas_);
    const Front& a = front(num_slots - num_slots / 2);
    const Front& b = front(num_slots / 2);
    if (effort_.exact && a.length() * b.length() <= kMostJoined) return joined_front(a, b);
    const Index cells = (effort_.exact ? kFiner : kCoarser) * effort_.length;
    return gridded_front(a, b, cells, effort_.turn);
  }

  Replicas replicas_;
  Effort effort_;
  std::vector<std::optional<Front>> fronts_;
};

}  // namespace

Completions::Completions(std::vector<std::optional<Front>> fronts, Index slots_per_gpu)
    : fronts_(std::move(fronts)),
      larger_half_(slots_per_gpu - slots_per_gpu / 2),
      smaller_half_(slots_per_gpu / 2) {
  const Front& a = *fronts_[larger_half_];
  const Front& b = *fronts_[smaller_half_];
  partner_ = best_partners(a, b);
  weight_.resize(a.length());
  for (Index i = 0; i < a.length(); ++i) weight_[i] = a.weight[i] + b.weight[partner_[i]];
}

double Completions::heaviest() const { return *std::ranges::max_element(weight_); }

std::vector<Index> Completions::heaviest_rows(Index most) const {
  std::vector<Index> rows;
  for (Index row = 0; row < std::ssize(weight_); ++row) {
    if (weight_[row] > 0) rows.push_back(row);
  }
  std::ranges::stable_sort(rows, [this](Index a, Index b) { return weight_[a] > weight_[b]; });
  if (std::ssize(rows) > most) rows.resize(most);
  return rows;
}

void Completions::write(Index row, Pattern& pattern) const {
  const std::span<Index> expert(pattern.expert), count(pattern.count);
  write_part(larger_half_, row, expert.first(larger_half_), count.first(larger_half_));
  write_part(smaller_half_, partner_[row], expert.last(smaller_half_), count.last(smaller_half_));
}

void Completions::write_part(Index num_slots, Index row, std::span<Index> expert,
                             std::span<Index> count) const {
  if (num_slots == 0) return;
  if (row == 0) {
    std::ranges::fill(expert, -1);
    std::ranges::fill(count, -1);
    return;
  }
  const Front& front = *fronts_[num_slots];
  if (num_slots == 1) {
    expert[0] = front.left[row];
    count[0] = front.right[row];
    return;
  }
  const Index b = num_slots / 2, a = num_slots - b;
  write_part(a, front.left[row], expert.first(a), count.first(a));
  write_part(b, front.right[row], expert.last(b), count.last(b));
}

Pricer::Pricer(const FlatNode& node, double target, Window window)
    : num_slots_(node.num_slots), slots_per_gpu_(node.slots_per_gpu()) {
  for (const std::int64_t load : node.load) load_.push_back(static_cast<double>(load) / target);
  for (Index expert = 0; expert < node.num_experts(); ++expert) {
    const double needed = std::min(std::max(std::ceil(load_[expert] / kFull), 1.0), kManyCounts);
    fewest_.push_back(std::max(static_cast<Index>(needed), window.low[expert]));
  }
  const Index spare = num_slots_ - std::accumulate(fewest_.begin(), fewest_.end(), Index{0});
  for (Index expert = 0; expert < node.num_experts(); ++expert) {
    most_.push_back(std::min(fewest_[expert] + spare, window.high[expert]));
  }
}

bool Pricer::has_counts() const {
  return std::ranges::equal(fewest_, most_, std::less_equal<>{}) &&
         std::accumulate(most_.begin(), most_.end(), Index{0}) >= num_slots_;
}

Completions Pricer::price(std::span<const double> value, Effort effort) const {
  const Index smaller = slots_per_gpu_ / 2, larger = slots_per_gpu_ - smaller;
  Grower grower({load_, value, fewest_, most_}, effort, larger);
  grower.front(larger);
  grower.front(smaller);
  return {grower.take(), slots_per_gpu_};
}

}  // namespace eplb::config_lp
