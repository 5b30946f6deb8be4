// The restricted master of the configuration LP: a primal simplex that keeps its basis.
//
// Rows are experts, columns are patterns:
//   min sum cost_p x_p  with  sum_p a_pe x_p >= 1 for every expert e,
// where a_pe adds up 1 / c over the replicas of e in p. (In the LP with count variables the dual value
// of a replica may be lowered to v_e / c without loss, which folds the counts away and leaves this
// one.) A few hundred rows: the inverse of the basis is kept dense and updated, the revised simplex
// method with an explicit inverse (Dantzig and Orchard-Hays, "The product form for the inverse in the
// simplex method", 1954; Chvatal, "Linear programming", 1983, chapter 7).
//
// Why it is ours and not a library's: a round of column generation makes some forty pivots, from the
// basis that the last round, or the last target load, ended with, and goes on with duals that are not
// optimal yet; the solvers that numpy's world brings start each LP afresh, or cost more to
// enter than the pivots. And all that it computes has the same bytes everywhere, without
// threads. Nothing it says is believed: integers verify every bound.
#pragma once

#include <vector>

#include "common/views.hpp"
#include "config_lp/pricing.hpp"

namespace eplb::config_lp {

// Patterns in a table, a row each; a slot that stays empty has expert and count -1 and share 0.
class Columns {
 public:
  explicit Columns(Index slots_per_gpu) : width_(slots_per_gpu) {}

  Index num() const { return std::ssize(cost_); }
  void add(const Pattern& pattern);
  void keep(const std::vector<bool>& stays);

  std::span<const Index> expert(Index column) const { return row(expert_, column); }
  std::span<const Index> count(Index column) const { return row(count_, column); }
  std::span<const double> share(Index column) const { return row(share_, column); }
  double cost(Index column) const { return cost_[column]; }
  void set_cost(Index column, double cost) { cost_[column] = cost; }

  // What the column's replicas add up to, where a whole expert e is worth value[e].
  double weight(Index column, std::span<const double> value) const;

 private:
  template <typename T>
  std::span<const T> row(const std::vector<T>& table, Index column) const {
    return std::span(table).subspan(column * width_, width_);
  }

  Index width_;
  std::vector<Index> expert_, count_;
  std::vector<double> share_;  // 1 / count
  std::vector<double> cost_;
};

class Master {
 public:
  // `first` has a column for each expert, which is the first basis; then others may follow.
  Master(Index num_experts, Columns first);

  void add(const Pattern& pattern) { columns_.add(pattern); }

  // Pivots until the columns at hand are used best, or at most so often; pivots made.
  Index optimise(Index most_pivots);

  // Marks columns as unfit, and all others as fit again. An unfit one may stay in the basis for a
  // while; its cost drives it out by ordinary pivots.
  void expel(const std::vector<bool>& is_unfit);

  // Where there are many columns, drops the worst half; those in the basis stay.
  void forget();

  double objective() const;
  bool has_finite_duals() const;
  // Whether no expelled column is used.
  bool fits() const;

  const Columns& columns() const { return columns_; }
  // A column for each row, or -1 - e for the surplus of expert e's row.
  std::span<const Index> basis() const { return basis_; }
  std::span<const double> level() const { return level_; }  // of the basic columns
  std::span<const double> dual() const { return dual_; }    // [num_experts]

 private:
  struct Entering {
    Index column;  // -1 - e for the surplus of expert e's row
    double reduced_cost;
  };
  struct Leaving {
    Index row;  // -1 for none
    double ratio;
  };

  Index pivot(Index limit);
  Entering entering() const;
  Leaving leaving() const;
  void compute_direction(Index column);
  void exchange(Entering in, Leaving out);
  void refactor();
  void recompute_levels();
  void recompute_duals();
  Table<double> inverse() { return {inverse_.data(), num_experts_, num_experts_}; }
  double basic_cost(Index row) const;

  Index num_experts_;
  Columns columns_;
  std::vector<Index> basis_;
  std::vector<double> inverse_;  // transposed: row j is column j of the basis' inverse
  std::vector<double> need_, level_, dual_, direction_;
  Index pivots_ = 0;
};

}  // namespace eplb::config_lp
