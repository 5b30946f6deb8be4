#include "config_lp/master.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "common/sums.hpp"
#include "config_lp/dense.hpp"

namespace eplb::config_lp {

namespace {

// Reduced costs above -kTolerance are not worth a pivot.
constexpr double kTolerance = 1e-9;
// Entries of a direction below it are rounding noise.
constexpr double kPivotTolerance = 1e-7;
// Ratios that differ by less are a tie.
constexpr double kRatioTie = 1e-12;
// Pivots after which the inverse is computed afresh.
constexpr Index kRefactor = 400;
// Rows need 1 plus up to so much: a plan's patterns make ties in every ratio test otherwise, and
// ties let a simplex stall or cycle (Charnes, "Optimality and degeneracy in linear programming",
// 1952).
constexpr double kPerturbation = 1e-7;
constexpr double kCost = 1.0;
// Cost of a pattern that no longer fits.
constexpr double kExpelled = 4.0;
// More columns at hand make a pivot slow.
constexpr Index kMostColumns = 4000;

double median(std::vector<double> values) {
  const Index middle = std::ssize(values) / 2;
  std::ranges::nth_element(values, values.begin() + middle);
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  return (*std::max_element(values.begin(), values.begin() + middle) + upper) / 2;
}

}  // namespace

void Columns::add(const Pattern& pattern) {
  expert_.insert(expert_.end(), pattern.expert.begin(), pattern.expert.end());
  count_.insert(count_.end(), pattern.count.begin(), pattern.count.end());
  for (Index k = 0; k < width_; ++k) {
    share_.push_back(pattern.expert[k] < 0 ? 0.0 : 1.0 / static_cast<double>(pattern.count[k]));
  }
  cost_.push_back(kCost);
}

void Columns::keep(const std::vector<bool>& stays) {
  Index kept = 0;
  for (Index column = 0; column < num(); ++column) {
    if (!stays[column]) continue;
    const auto move_row = [&](auto& table) {
      std::copy_n(table.begin() + column * width_, width_, table.begin() + kept * width_);
    };
    move_row(expert_);
    move_row(count_);
    move_row(share_);
    cost_[kept++] = cost_[column];
  }
  expert_.resize(kept * width_);
  count_.resize(kept * width_);
  share_.resize(kept * width_);
  cost_.resize(kept);
}

double Columns::weight(Index column, std::span<const double> value) const {
  const auto experts = expert(column);
  const auto shares = share(column);
  return pairwise_sum(
      0, width_, [&](Index k) { return value[std::max(experts[k], Index{0})] * shares[k]; });
}

Master::Master(Index num_experts, Columns first)
    : num_experts_(num_experts),
      columns_(std::move(first)),
      basis_(num_experts),
      inverse_(num_experts * num_experts),
      need_(num_experts),
      level_(num_experts),
      dual_(num_experts),
      direction_(num_experts) {
  std::iota(basis_.begin(), basis_.end(), Index{0});
  for (Index e = 0; e < num_experts; ++e) {
    need_[e] = 1.0 + kPerturbation * (static_cast<double>(e * 7919 % 1009) / 1009.0);
  }
  refactor();
}

Index Master::optimise(Index most_pivots) {
  Index made = 0;
  while (made < most_pivots) {
    const Index limit = std::min(most_pivots - made, kRefactor - pivots_ % kRefactor);
    const Index step = pivot(limit);
    made += step;
    pivots_ += step;
    if (step < limit) break;
    if (pivots_ % kRefactor == 0) refactor();
  }
  return made;
}

// The column of least reduced cost enters (Dantzig's rule). Returns the pivots made.
Index Master::pivot(Index limit) {
  for (Index step = 0; step < limit; ++step) {
    const Entering in = entering();
    if (in.reduced_cost >= -kTolerance) return step;
    compute_direction(in.column);
    const Leaving out = leaving();
    if (out.row < 0) return step;
    exchange(in, out);
  }
  return limit;
}

Master::Entering Master::entering() const {
  Entering best{0, -kTolerance};
  for (Index column = 0; column < columns_.num(); ++column) {
    if (columns_.cost(column) > kCost) continue;
    const auto experts = columns_.expert(column);
    const auto shares = columns_.share(column);
    double reduced = columns_.cost(column);
    for (Index k = 0; k < std::ssize(experts); ++k) {
      if (experts[k] >= 0) reduced -= dual_[experts[k]] * shares[k];
    }
    if (reduced < best.reduced_cost) best = {column, reduced};
  }
  for (Index e = 0; e < num_experts_; ++e) {
    if (dual_[e] < best.reduced_cost) best = {-1 - e, dual_[e]};
  }
  return best;
}

// The row whose basic column runs empty first; of ties the largest pivot.
Master::Leaving Master::leaving() const {
  Leaving best{-1, std::numeric_limits<double>::infinity()};
  for (Index i = 0; i < num_experts_; ++i) {
    if (!(direction_[i] > kPivotTolerance)) continue;
    const double ratio = std::max(level_[i], 0.0) / direction_[i];
    const bool is_tie = best.row >= 0 && ratio < best.ratio + kRatioTie;
    if (ratio < best.ratio - kRatioTie || (is_tie && direction_[i] > direction_[best.row])) {
      best = {i, std::min(ratio, best.ratio)};
    }
  }
  return best;
}

void Master::compute_direction(Index column) {
  std::ranges::fill(direction_, 0.0);
  if (column < 0) {
    add_scaled(direction_, -1.0, inverse()[-1 - column]);
    return;
  }
  const auto experts = columns_.expert(column);
  const auto shares = columns_.share(column);
  for (Index k = 0; k < std::ssize(experts); ++k) {
    if (experts[k] >= 0) add_scaled(direction_, shares[k], inverse()[experts[k]]);
  }
}

void Master::exchange(Entering in, Leaving out) {
  subtract_scaled(level_, out.ratio, direction_);
  level_[out.row] = out.ratio;
  basis_[out.row] = in.column;
  const double pivot = direction_[out.row];
  for (Index j = 0; j < num_experts_; ++j) {
    const std::span<double> row = inverse()[j];
    const double scaled = row[out.row] / pivot;
    if (scaled == 0.0) continue;
    dual_[j] += in.reduced_cost * scaled;
    subtract_scaled(row, scaled, direction_);
    row[out.row] = scaled;
  }
}

// The inverse, levels and duals from the basis alone. A basis that rounding made singular goes on with
// the updated inverse: what comes out is verified in integers anyway.
void Master::refactor() {
  std::vector<double> rows(num_experts_ * num_experts_);
  const Table<double> matrix(rows.data(), num_experts_, num_experts_);
  for (Index position = 0; position < num_experts_; ++position) {
    const Index column = basis_[position];
    if (column < 0) {
      matrix(position, -1 - column) = -1.0;
      continue;
    }
    const auto experts = columns_.expert(column);
    const auto shares = columns_.share(column);
    for (Index k = 0; k < std::ssize(experts); ++k) {
      if (experts[k] >= 0) matrix(position, experts[k]) += shares[k];
    }
  }
  if (auto fresh = inverted(matrix)) inverse_ = std::move(*fresh);
  recompute_levels();
  recompute_duals();
}

void Master::recompute_levels() {
  std::ranges::fill(level_, 0.0);
  for (Index j = 0; j < num_experts_; ++j) add_scaled(level_, need_[j], inverse()[j]);
}

void Master::recompute_duals() {
  for (Index j = 0; j < num_experts_; ++j) {
    const std::span<const double> row = inverse()[j];
    dual_[j] = pairwise_sum(0, num_experts_, [&](Index i) { return row[i] * basic_cost(i); });
  }
}

double Master::basic_cost(Index row) const {
  return basis_[row] < 0 ? 0.0 : columns_.cost(basis_[row]);
}

void Master::expel(const std::vector<bool>& is_unfit) {
  for (Index column = 0; column < columns_.num(); ++column) {
    columns_.set_cost(column, is_unfit[column] ? kExpelled : kCost);
  }
  recompute_duals();
}

void Master::forget() {
  if (columns_.num() <= kMostColumns || !has_finite_duals()) return;
  std::vector<double> reduced(columns_.num());
  for (Index column = 0; column < columns_.num(); ++column) {
    reduced[column] = columns_.cost(column) - columns_.weight(column, dual_);
  }
  const double bar = median(reduced);
  std::vector<bool> stays(columns_.num());
  for (Index column = 0; column < columns_.num(); ++column) stays[column] = reduced[column] <= bar;
  for (const Index column : basis_) {
    if (column >= 0) stays[column] = true;
  }
  std::vector<Index> new_idx(columns_.num());
  Index kept = 0;
  for (Index column = 0; column < columns_.num(); ++column) {
    new_idx[column] = kept;
    kept += stays[column];
  }
  for (Index& column : basis_) {
    if (column >= 0) column = new_idx[column];
  }
  columns_.keep(stays);
}

double Master::objective() const {
  return pairwise_sum(0, num_experts_, [this](Index i) { return basic_cost(i) * level_[i]; });
}

bool Master::has_finite_duals() const {
  return std::ranges::all_of(dual_, [](double dual) { return std::isfinite(dual); });
}

bool Master::fits() const {
  for (Index i = 0; i < num_experts_; ++i) {
    if (basic_cost(i) > kCost && level_[i] > kPerturbation) return false;
  }
  return true;
}

}  // namespace eplb::config_lp
