#include "config_lp/front.hpp"

#include <algorithm>
#include <cmath>

namespace eplb::config_lp {

namespace {

// Cells of the grid that weeds out most sums before the rest is sorted.
constexpr Index kNumCells = 1 << 13;

struct Partial {
  double size, weight;
  Index left, right;
};

// The golden ratio spreads the turns over a cell.
double shift_of(Index turn) { return std::fmod(static_cast<double>(turn) * 0.618, 1.0); }

// The heaviest partial pattern in each cell of sizes, and from `accumulate` on also below it.
class Grid {
 public:
  Grid() : best_(kNumCells + 2) {}

  static Index cell(double size) { return static_cast<Index>(size * kNumCells); }

  void note(double size, double weight) {
    double& best = best_[cell(size)];
    best = std::max(best, weight);
  }
  void accumulate() {
    for (Index cell = 1; cell < std::ssize(best_); ++cell) {
      best_[cell] = std::max(best_[cell], best_[cell - 1]);
    }
  }
  // Whether nothing in a lower cell is as heavy.
  bool may_matter(double size, double weight) const {
    const Index own = cell(size);
    return own == 0 || weight > best_[own - 1];
  }

 private:
  std::vector<double> best_;
};

// Keeps what is heavier than all before it; rows come by ascending size.
class FrontBuilder {
 public:
  FrontBuilder() : front_(empty_front()) {}

  void offer(const Partial& row) {
    if (row.weight <= front_.weight.back()) return;
    // Of equal sizes the heaviest alone; the empty pattern stays.
    if (front_.length() > 1 && front_.size.back() == row.size) front_.pop();
    front_.append(row.size, row.weight, row.left, row.right);
  }
  Front take() { return std::move(front_); }

 private:
  Front front_;
};

Front front_of(std::vector<Partial> rows) {
  // Stable, so that the order of what came first decides between equals.
  std::ranges::stable_sort(rows, std::less<>{}, &Partial::size);
  FrontBuilder builder;
  for (const Partial& row : rows) builder.offer(row);
  return builder.take();
}

template <typename Visit>
void for_each_replica(const Replicas& replicas, const Visit& visit) {
  for (Index expert = 0; expert < std::ssize(replicas.load); ++expert) {
    for (Index count = replicas.fewest[expert]; count <= replicas.most[expert]; ++count) {
      const double parts = static_cast<double>(count);
      const double size = replicas.load[expert] / parts;
      if (size <= kFull) visit(Partial{size, replicas.value[expert] / parts, expert, count});
    }
  }
}

// All sums that fit; of a front with itself each pair once.
template <typename Visit>
void for_each_sum(const Front& a, const Front& b, const Visit& visit) {
  const bool same = &a == &b;
  for (Index i = 0; i < a.length(); ++i) {
    for (Index j = same ? i : 0; j < b.length(); ++j) {
      const double size = a.size[i] + b.size[j];
      if (size > kFull) break;
      visit(Partial{size, a.weight[i] + b.weight[j], i, j});
    }
  }
}

}  // namespace

void Front::append(double new_size, double new_weight, Index new_left, Index new_right) {
  size.push_back(new_size);
  weight.push_back(new_weight);
  left.push_back(new_left);
  right.push_back(new_right);
}

void Front::pop() {
  size.pop_back();
  weight.pop_back();
  left.pop_back();
  right.pop_back();
}

Front empty_front() { return {{0.0}, {0.0}, {0}, {0}}; }

Front single_front(const Replicas& replicas) {
  Grid grid;
  for_each_replica(replicas, [&](const Partial& row) { grid.note(row.size, row.weight); });
  grid.accumulate();
  std::vector<Partial> rows;
  for_each_replica(replicas, [&](const Partial& row) {
    if (grid.may_matter(row.size, row.weight)) rows.push_back(row);
  });
  return front_of(std::move(rows));
}

Front joined_front(const Front& a, const Front& b) {
  Grid grid;
  for_each_sum(a, b, [&](const Partial& row) { grid.note(row.size, row.weight); });
  grid.accumulate();
  std::vector<Partial> rows;
  for_each_sum(a, b, [&](const Partial& row) {
    if (grid.may_matter(row.size, row.weight)) rows.push_back(row);
  });
  return front_of(std::move(rows));
}

Front gridded_front(const Front& a, const Front& b, Index length, Index turn) {
  const double shift = shift_of(turn), cells = static_cast<double>(length);
  std::vector<Partial> heaviest(length + 2, Partial{0.0, 0.0, 0, 0});
  for_each_sum(a, b, [&](const Partial& row) {
    Partial& best = heaviest[static_cast<Index>(row.size * cells + shift)];
    if (row.weight > best.weight) best = row;
  });
  // Cells are in order of size, so that nothing is left to sort.
  FrontBuilder builder;
  for (const Partial& row : heaviest) builder.offer(row);
  return builder.take();
}

Front thinned_front(Front front, Index length, Index turn) {
  const Index last = front.length() - 1;
  if (front.length() <= length) return front;
  const double shift = shift_of(turn);
  Front thinned;
  for (Index k = 0; k < length; ++k) {
    const double position = (static_cast<double>(k) + shift) * static_cast<double>(last);
    Index row = static_cast<Index>(position / static_cast<double>(length));
    // The ends stay.
    if (k == 0) row = 0;
    if (k == length - 1) row = last;
    thinned.append(front.size[row], front.weight[row], front.left[row], front.right[row]);
  }
  return thinned;
}

std::vector<Index> best_partners(const Front& a, const Front& b) {
  std::vector<Index> partner(a.length());
  Index j = b.length() - 1;
  for (Index i = 0; i < a.length(); ++i) {
    while (j > 0 && a.size[i] + b.size[j] > kFull) --j;
    partner[i] = j;
  }
  return partner;
}

}  // namespace eplb::config_lp
