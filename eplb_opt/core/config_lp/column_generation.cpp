#include "config_lp/column_generation.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "common/sums.hpp"

namespace eplb::config_lp {

namespace {

// Share of the best dual values so far in those that are priced.
constexpr double kSmoothing = 0.3;
// Rows of a front: few while columns are found, many when none is left.
constexpr Index kCoarse = 800, kFine = 1000;
// Pivots between two rounds of pricing; to optimality is not worth it.
constexpr Index kMostPivots = 40;
// Patterns looked at for columns in one round.
constexpr Index kMostPatterns = 4000;
// A column must improve the LP by so much a GPU.
constexpr double kGain = 1e-7;
// Float bounds above the GPUs by less prove nothing in integers.
constexpr double kMargin = 1e-8;

double sum_of(std::span<const double> values) {
  return pairwise_sum(0, std::ssize(values), [&](Index i) { return values[i]; });
}

// Whether the column is larger than a GPU, or holds counts that the window no longer has.
bool is_unfit(const Columns& columns, Index column, const Pricer& pricer) {
  if (columns.weight(column, pricer.load()) > kFull) return true;
  const auto expert = columns.expert(column), count = columns.count(column);
  for (Index k = 0; k < std::ssize(expert); ++k) {
    const Index e = expert[k];
    if (e >= 0 && (count[k] < pricer.fewest()[e] || count[k] > pricer.most()[e])) return true;
  }
  return false;
}

double worth(const Pattern& pattern, std::span<const double> dual) {
  return pairwise_sum(0, std::ssize(pattern.expert), [&](Index k) {
    if (pattern.expert[k] < 0) return 0.0;
    return dual[pattern.expert[k]] / static_cast<double>(pattern.count[k]);
  });
}

// Marks the pattern's experts; whether any was not marked before.
bool brings_new(const Pattern& pattern, std::vector<bool>& seen) {
  bool brings = false;
  for (const Index expert : pattern.expert) {
    if (expert < 0 || seen[expert]) continue;
    seen[expert] = brings = true;
  }
  return brings;
}

}  // namespace

ColumnGeneration::ColumnGeneration(FlatNode node, std::vector<Index> start)
    : node_(std::move(node)), start_(std::move(start)), centre_(node_.num_experts()) {}

Verdict ColumnGeneration::decide(double target, Window window, std::span<const double> last,
                                 const Limit& limit) {
  const Pricer pricer(node_, target, window);
  if (!pricer.has_counts()) {
    std::ranges::copy(pricer.fewest(), centre_.begin());
    return Verdict::kInfeasible;
  }
  ready_master(pricer);
  recentre(pricer, last);
  const Index rounds_before = rounds_;
  while (!is_over(limit, rounds_before)) {
    if (best_ > static_cast<double>(node_.num_gpus) * (1 + kMargin)) return Verdict::kInfeasible;
    const std::int64_t begin = now_ns();
    ++rounds_;
    if (const auto verdict = round(pricer)) return *verdict;
    slowest_ns_ = std::max(slowest_ns_, now_ns() - begin);
  }
  return Verdict::kOpen;
}

bool ColumnGeneration::is_over(const Limit& limit, Index rounds_before) const {
  return rounds_ - rounds_before >= limit.rounds || limit.deadline.expires_within(slowest_ns_);
}

// Some pivots, then columns; a verdict where that settles it.
std::optional<Verdict> ColumnGeneration::round(const Pricer& pricer) {
  Master& master = *master_;
  master.forget();
  master.optimise(kMostPivots);
  if (!master.has_finite_duals()) return Verdict::kOpen;
  const double gpus = static_cast<double>(node_.num_gpus);
  if (master.objective() <= gpus * (1 + kGain) && master.fits()) return Verdict::kFeasible;
  if (!add_columns(pricer) && master.optimise(kMostPivots) == 0) return Verdict::kInfeasible;
  return std::nullopt;
}

// Columns that do not fit are expelled; those in the basis leave it by and by.
Master& ColumnGeneration::ready_master(const Pricer& pricer) {
  if (!master_) master_.emplace(first_master(pricer));
  const Columns& columns = master_->columns();
  std::vector<bool> unfit(columns.num());
  for (Index column = 0; column < columns.num(); ++column) {
    unfit[column] = is_unfit(columns, column, pricer);
  }
  master_->expel(unfit);
  return *master_;
}

// Each expert alone, as often as it fits, and the start's GPUs.
Master ColumnGeneration::first_master(const Pricer& pricer) const {
  const Index num = node_.num_experts(), width = node_.slots_per_gpu();
  Columns columns(width);
  for (Index e = 0; e < num; ++e) {
    const double size = pricer.load()[e] / static_cast<double>(pricer.fewest()[e]);
    const double times = kFull / std::max(size, 1e-9);
    const Index filled = static_cast<Index>(std::clamp(times, 1.0, static_cast<double>(width)));
    Pattern alone{std::vector<Index>(width, -1), std::vector<Index>(width, -1)};
    std::fill_n(alone.expert.begin(), filled, e);
    std::fill_n(alone.count.begin(), filled, pricer.fewest()[e]);
    columns.add(alone);
  }
  Master master(num, std::move(columns));
  std::vector<Index> count(num);
  for (const Index expert : start_) ++count[expert];
  for (Index slot = 0; slot < std::ssize(start_); slot += width) {
    Pattern gpu;
    gpu.expert.assign(start_.begin() + slot, start_.begin() + slot + width);
    for (const Index expert : gpu.expert) gpu.count.push_back(count[expert]);
    master.add(gpu);
  }
  return master;
}

// The best of the values that give the mean, the water level, and a known bound. Those of the first
// two weigh at most 1 in any pattern, by what a target load means.
void ColumnGeneration::recentre(const Pricer& pricer, std::span<const double> last) {
  best_ = 0.0;
  consider(pricer.load(), 1.0);
  std::vector<double> slots(pricer.fewest().begin(), pricer.fewest().end());
  for (double& share : slots) share /= static_cast<double>(pricer.slots_per_gpu());
  consider(slots, 1.0);
  if (!last.empty()) consider(last, pricer.price(last, {kFine, 0, true}).heaviest());
}

// Keeps the values if their bound, with a weight of a GPU of at most `heaviest`, is the best.
void ColumnGeneration::consider(std::span<const double> value, double heaviest) {
  if (!(heaviest > 0)) return;
  const double bound = sum_of(value) / heaviest;
  if (!(bound > best_)) return;
  best_ = bound;
  for (Index e = 0; e < std::ssize(value); ++e) centre_[e] = value[e] / heaviest;
}

// Prices between centre and duals, then at the duals, first coarsely; whether any column came.
bool ColumnGeneration::add_columns(const Pricer& pricer) {
  std::vector<double> dual(master_->dual().begin(), master_->dual().end());
  for (double& value : dual) value = std::max(value, 0.0);
  std::vector<double> value(dual.size());
  for (const Index length : {kCoarse, kFine}) {
    for (const double smoothing : {kSmoothing, 0.0}) {
      for (Index e = 0; e < std::ssize(value); ++e) {
        value[e] = smoothing * centre_[e] + (1 - smoothing) * dual[e];
      }
      const Completions priced = pricer.price(value, {length, rounds_, length == kFine});
      if (length == kFine) consider(value, priced.heaviest());
      if (add_spread(priced, dual)) return true;
    }
  }
  return false;
}

// Columns that differ: each brings an expert that none before it had. Whether any improves the LP.
bool ColumnGeneration::add_spread(const Completions& priced, std::span<const double> dual) {
  std::vector<bool> seen(dual.size());
  const Index width = node_.slots_per_gpu();
  Pattern pattern{std::vector<Index>(width), std::vector<Index>(width)};
  bool came = false;
  for (const Index row : priced.heaviest_rows(kMostPatterns)) {
    priced.write(row, pattern);
    if (worth(pattern, dual) > 1 + kGain && brings_new(pattern, seen)) {
      master_->add(pattern);
      came = true;
    }
  }
  return came;
}

Division ColumnGeneration::division() const {
  if (!master_) return {std::vector<double>(node_.num_experts()), 1};
  const Columns& columns = master_->columns();
  Index most = 0;
  for (const Index column : master_->basis()) {
    if (column >= 0) most = std::max(most, std::ranges::max(columns.count(column)));
  }
  Division found{std::vector<double>(node_.num_experts() * (most + 1)), most + 1};
  for (Index row = 0; row < node_.num_experts(); ++row) {
    const Index column = master_->basis()[row];
    const double level = master_->level()[row];
    if (column < 0 || !(level > 0)) continue;
    const auto expert = columns.expert(column), count = columns.count(column);
    const auto share = columns.share(column);
    for (Index k = 0; k < std::ssize(expert); ++k) {
      if (expert[k] >= 0) found.level[expert[k] * (most + 1) + count[k]] += level * share[k];
    }
  }
  return found;
}

}  // namespace eplb::config_lp
