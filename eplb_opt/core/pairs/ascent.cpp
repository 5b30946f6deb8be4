#include "pairs/ascent.hpp"

#include <algorithm>
#include <limits>

namespace eplb::pairs {

namespace {

// Steps without a better bound after which the length of a step shrinks, and by how much.
constexpr int kStallSteps = 15;
constexpr double kShrink = 0.65;
// A better bound by less than this is none.
constexpr double kLeastGain = 1e-4;
// A step's length below which the ascent has come to its end.
constexpr double kLeastLength = 0.02;
// Steps aim so many replicas above what is to be proven, so that the last ones do not creep.
constexpr double kOvershoot = 0.3;
// No price of a replica is worth more than this; it keeps the integer sums in their range.
constexpr double kMostPrice = 1024.0;
// How many options of an expert `take_first` looks at.
constexpr Index kFirstOptions = 6;

}  // namespace

void Ascent::take_all(const Options& options, const Rows& rows) {
  take(options, rows.size());
  for (Index expert = 0; expert < options.num_experts(); ++expert) {
    for (Index o = options.first[expert]; o < options.first[expert + 1]; ++o) {
      option_.push_back(static_cast<std::int32_t>(o));
    }
    first_.push_back(static_cast<std::int32_t>(option_.size()));
    add_cuts(options, rows, expert);
  }
}

void Ascent::take_first(const Options& options, Index num_rows) {
  take(options, num_rows);
  for (Index expert = 0; expert < options.num_experts(); ++expert) {
    const Index first = options.first[expert];
    const Index end = std::min<Index>(first + kFirstOptions, options.first[expert + 1]);
    for (Index o = first; o < end; ++o) {
      option_.push_back(static_cast<std::int32_t>(o));
      choices_.push_back({static_cast<double>(options.count[o]),
                          static_cast<double>(options.change[o]), options.rank[o], 0});
    }
    first_.push_back(static_cast<std::int32_t>(option_.size()));
  }
}

void Ascent::take(const Options& options, Index num_rows) {
  choices_.clear();
  option_.clear();
  cuts_.clear();
  first_.assign(1, 0);
  picked_.assign(options.num_experts(), 0);
  price_.resize(num_rows);
  slope_.resize(num_rows + 1);
  wanted_.resize(num_rows);
}

void Ascent::add_cuts(const Options& options, const Rows& rows, Index expert) {
  const Index first = options.first[expert], end = options.first[expert + 1];
  const std::int64_t most = std::max<std::int64_t>(options.change[end - 1], 0);
  std::vector<std::pair<std::int32_t, std::int64_t>> cutting;
  Rows::Walk walk(rows, expert);
  for (const std::int32_t row : rows.tight()) {
    const std::int64_t cut = walk.cut_at(row);
    if (cut < most) cutting.emplace_back(row, cut);
  }
  for (Index o = first; o < end; ++o) {
    for (const auto& [row, cut] : cutting) {
      const std::int64_t over = (options.rank[o] > row ? options.change[o] : 0) - cut;
      if (over > 0) cuts_.push_back({static_cast<double>(over), row});
    }
    choices_.push_back({static_cast<double>(options.count[o]),
                        static_cast<double>(options.change[o]), options.rank[o],
                        static_cast<std::int32_t>(cuts_.size())});
  }
}

double Ascent::climb(double slots, Index steps, std::span<double> running,
                     std::span<double> weight) {
  at_.assign(running.begin(), running.end());
  double best = -std::numeric_limits<double>::infinity(), length = 1.0;
  int stalled = 0;
  std::ranges::fill(weight, 0.0);
  for (Index step = 0; step < steps; ++step) {
    const double value = cheapest(at_);
    for (const std::int32_t choice : picked_) weight[option_[choice]] += length;
    stalled = value > best + kLeastGain ? 0 : stalled + 1;
    if (value > best) {
      best = value;
      std::ranges::copy(at_, running.begin());
    }
    if (stalled >= kStallSteps) {
      length *= kShrink;
      stalled = 0;
    }
    if (best > slots || length < kLeastLength) break;
    find_slope();
    const double norm = squared_slope();
    if (norm == 0.0) break;
    const double move = length * (slots + kOvershoot - value) / norm;
    for (std::size_t r = 0; r < wanted_.size(); ++r) wanted_[r] = at_[r + 1] + move * slope_[r + 1];
    project(wanted_, std::span(at_).subspan(1));
  }
  return best;
}

// Every expert's cheapest choice under the prices; what they cost together.
double Ascent::cheapest(std::span<const double> running) {
  for (std::size_t row = 0; row < price_.size(); ++row) price_[row] = running[row + 1] - running[row];
  double value = 0.0;
  std::int32_t cut = 0;
  for (std::size_t expert = 0; expert + 1 < first_.size(); ++expert) {
    double least = std::numeric_limits<double>::infinity();
    for (std::int32_t c = first_[expert]; c < first_[expert + 1]; ++c) {
      const Choice& choice = choices_[c];
      double cost = choice.count - choice.change * running[choice.rank];
      for (; cut < choice.cuts_end; ++cut) cost += cuts_[cut].amount * price_[cuts_[cut].row];
      if (cost < least) {
        least = cost;
        picked_[expert] = c;
      }
    }
    value += least;
  }
  return value;
}

// The subgradient along the running sums.
void Ascent::find_slope() {
  std::ranges::fill(slope_, 0.0);
  for (const std::int32_t c : picked_) {
    const Choice& choice = choices_[c];
    slope_[choice.rank] -= choice.change;
    const std::int32_t begin = c > 0 ? choices_[c - 1].cuts_end : 0;
    for (std::int32_t k = begin; k < choice.cuts_end; ++k) {
      slope_[cuts_[k].row + 1] += cuts_[k].amount;
      slope_[cuts_[k].row] -= cuts_[k].amount;
    }
  }
}

double Ascent::squared_slope() const {
  double norm = 0.0;
  for (std::size_t r = 1; r < slope_.size(); ++r) norm += slope_[r] * slope_[r];
  return norm;
}

// The nearest ascending sequence that is not negative, by pooling neighbours (isotonic regression by
// pooling adjacent violators; Ayer et al., 1955).
void Ascent::project(std::span<const double> wanted, std::span<double> out) {
  blocks_.clear();
  for (const double value : wanted) {
    Block last{value, 1};
    while (!blocks_.empty() && blocks_.back().total * static_cast<double>(last.size) >=
                                   last.total * static_cast<double>(blocks_.back().size)) {
      last.total = blocks_.back().total + last.total;
      last.size += blocks_.back().size;
      blocks_.pop_back();
    }
    blocks_.push_back(last);
  }
  auto at = out.begin();
  for (const Block& block : blocks_) {
    const double mean = std::clamp(block.total / static_cast<double>(block.size), 0.0, kMostPrice);
    at = std::fill_n(at, block.size, mean);
  }
}

}  // namespace eplb::pairs
