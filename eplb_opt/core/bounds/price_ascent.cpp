#include "bounds/price_ascent.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace eplb::bounds {

namespace {

// Counts beyond the fewest that an expert may have.
constexpr std::array<Index, 10> kMore = {0, 1, 2, 3, 4, 6, 9, 14, 22, 40};
// The first temperature and the last, in units of the objective, and how it falls.
constexpr double kFirstHeat = 2e-3, kLastHeat = 1e-6, kFall = 4.0;
// Newton steps at a temperature at most; a step promises at least so many temperatures, or the turn
// of the next one has come.
constexpr int kSteps = 14;
constexpr double kPromised = 0.3;
// A step is made shorter until it brings a part of what its slope promises, at most so often.
constexpr double kEnough = 0.1, kShorter = 0.4;
constexpr int kMaxShorter = 12;
// A price of load keeps this part of the way to 0, and no slot is worth more.
constexpr double kKept = 0.05, kMostWorth = 2.0;
// No plan has so many replicas of an expert.
constexpr double kMostCopies = 1e9;
// Beyond so many temperatures an option counts for nothing.
constexpr double kFar = 36.0;
// Added to the curve, as a part of its trace: some prices may be anything.
constexpr double kRidge = 1e-9;
constexpr double kLogOfTwo = 0.6931471805599453;

// The coefficients of the exponential's series.
constexpr std::array<double, 10> kSeries = {
    1.0,         1.0 / 2.0,    1.0 / 6.0,     1.0 / 24.0,     1.0 / 120.0,
    1.0 / 720.0, 1.0 / 5040.0, 1.0 / 40320.0, 1.0 / 362880.0, 1.0 / 3628800.0};

// exp(-x) for 0 <= x <= kFar, to eleven digits: a polynomial after halvings.
double falling(double x) {
  const auto halvings = static_cast<std::int64_t>(x * (1.0 / kLogOfTwo) + 0.5);
  const double rest = static_cast<double>(halvings) * kLogOfTwo - x;
  double sum = 0.0;
  for (int i = 9; i >= 0; --i) sum = kSeries[i] + sum * rest;
  // A power of two by its bits.
  return (1.0 + sum * rest) * std::bit_cast<double>((std::int64_t{1023} - halvings) << 52);
}

// log(x) for x > 0: twice the area tangent of what is left beside a power of two.
double logarithm(double x) {
  int exponent = 0;
  const double part = std::frexp(x, &exponent) * 1.4142135623730951;  // 0.7..1.4
  const double t = (part - 1.0) / (part + 1.0), square = t * t;
  double sum = 0.0;
  for (int i = 15; i > 0; i -= 2) sum = 1.0 / i + square * sum;
  return 2.0 * t * sum + (exponent - 0.5) * kLogOfTwo;
}

class Dual {
 public:
  explicit Dual(const Households& asked)
      : asked_(asked), num_nodes_(std::ssize(asked.slots)), fewest_(asked.load.size()) {
    Index spare = 0;
    for (const Index slots : asked.slots) spare += slots;
    for (const Index gpus : asked.gpus) num_gpus_ += gpus;
    for (std::size_t e = 0; e < fewest_.size(); ++e) {
      const double fewest = std::ceil(asked.load[e] / asked.most - 1e-9);
      fewest_[e] = static_cast<Index>(std::clamp(fewest, 1.0, kMostCopies));
      spare -= fewest_[e];
    }
    is_possible_ = spare >= 0;
    num_counts_ = std::ranges::upper_bound(kMore, spare) - kMore.begin();
    chance_.resize(num_counts_ * num_nodes_);
    held_.resize(2 * num_nodes_);
    gradient_.resize(2 * num_nodes_);
    curve_.resize(4 * num_nodes_ * num_nodes_);
  }

  bool is_possible() const { return is_possible_; }
  Index size() const { return 2 * num_nodes_; }
  // What prices prove, without smoothing; after `look`.
  double proven() const { return proven_; }
  double level() const { return level_; }
  std::span<const double> gradient() const { return gradient_; }
  // The Hessian's negative.
  Table<double> curve() { return {curve_.data(), size(), size()}; }

  // The smoothed value at some prices, those of slots before those of load; with the slopes too.
  double look(std::span<const double> prices, double heat, bool with_slopes) {
    const std::span<const double> on_slots = prices.first(num_nodes_);
    const std::span<const double> on_load = prices.subspan(num_nodes_);
    if (with_slopes) {
      std::ranges::fill(gradient_, 0.0);
      std::ranges::fill(curve_, 0.0);
    }
    double true_sum = 0.0, logs = 0.0, carried = 0.0;
    for (Index n = 0; n < num_nodes_; ++n) {
      true_sum -= on_slots[n] * static_cast<double>(asked_.slots[n]);
      carried += on_load[n] * static_cast<double>(asked_.gpus[n]);
      logs += logarithm(on_load[n]);
    }
    for (Index e = 0; e < std::ssize(fewest_); ++e) {
      const double whole = chances(e, prices, heat, true_sum);
      logs -= logarithm(whole);
      if (with_slopes) add_slopes(e, whole);
    }
    // The end of the range of T that is better, softly.
    const double at_least = (1.0 - carried) * asked_.least, at_most = (1.0 - carried) * asked_.most;
    const double low = std::min(at_least, at_most);
    const double far = std::min((std::max(at_least, at_most) - low) / heat, kFar);
    const double other = falling(far);
    logs -= logarithm(1.0 + other);
    true_sum += low;
    const double part = (at_most <= at_least ? 1.0 : other) / (1.0 + other);
    level_ = asked_.least + part * (asked_.most - asked_.least);
    proven_ = true_sum;
    if (with_slopes) finish(prices, heat, part);
    return true_sum + heat * logs;
  }

  // What the program does with most of each expert.
  Prices solution(std::span<const double> prices, double heat) {
    const auto middle = prices.begin() + num_nodes_;
    Prices found{{prices.begin(), middle}, {middle, prices.end()}, 0.0, {}, {}};
    double unused = 0.0;
    for (Index e = 0; e < std::ssize(fewest_); ++e) {
      chances(e, prices, heat, unused);
      Index best = 0;
      double most = -1.0, home = 0.0;
      for (Index k = 0; k < num_counts_; ++k) {
        const double* row = chance_.data() + k * num_nodes_;
        double sum = 0.0;
        for (Index n = 0; n < num_nodes_; ++n) sum += row[n];
        if (sum > most) best = k, most = sum, home = row[asked_.home[e]];
      }
      found.count.push_back(fewest_[e] + kMore[best]);
      found.at_home.push_back(2.0 * home > most ? 1 : 0);
    }
    look(prices, heat, false);
    found.level = level_;
    return found;
  }

 private:
  double count_of(Index e, Index k) const { return static_cast<double>(fewest_[e] + kMore[k]); }

  // How much of each option, the best one's counting 1; returns their sum, and adds the best one's
  // cost.
  double chances(Index e, std::span<const double> prices, double heat, double& true_sum) {
    const double* on_slots = prices.data();
    const double* on_load = prices.data() + num_nodes_;
    const Index home = asked_.home[e];
    double least = 1e300;
    for (Index k = 0; k < num_counts_; ++k) {
      const double count = count_of(e, k), size = asked_.load[e] / count;
      const double more = asked_.anchored ? count - 1.0 : count;
      const double bare = asked_.anchored ? on_slots[home] + on_load[home] * size : 0.0;
      const double away = asked_.price / static_cast<double>(num_gpus_) * size;
      double* row = chance_.data() + k * num_nodes_;
      for (Index n = 0; n < num_nodes_; ++n) {
        row[n] = bare + more * (on_slots[n] + on_load[n] * size + away);
      }
      row[home] -= more * away;
      for (Index n = 0; n < num_nodes_; ++n) least = std::min(least, row[n]);
    }
    double whole = 0.0;
    const double reach = kFar * heat;
    const double per_heat = 1.0 / heat;
    for (double& one : chance_) {
      const double above = one - least;
      one = above < reach ? falling(above * per_heat) : 0.0;
      whole += one;
    }
    true_sum += least;
    return whole;
  }

  // Adds what an expert puts on nodes to the gradient, and how that varies to the curve.
  void add_slopes(Index e, double whole) {
    const Index num = num_nodes_, width = 2 * num, home = asked_.home[e];
    const double first = asked_.anchored ? 1.0 : 0.0;
    std::ranges::fill(held_, 0.0);
    for (Index k = 0; k < num_counts_; ++k) {
      const double* row = chance_.data() + k * num;
      const double count = count_of(e, k), size = asked_.load[e] / count, more = count - first;
      for (Index n = 0; n < num; ++n) {
        if (row[n] == 0.0) continue;
        const double part = row[n] / whole;
        held_[home] += part * first;
        held_[num + home] += part * first * size;
        held_[n] += part * more;
        held_[num + n] += part * more * size;
        const double both = part * more * more, mixed = part * first * more, alone = part * first;
        add_square(home, home, alone, size);
        if (mixed > 0.0) add_square(home, n, mixed, size), add_square(n, home, mixed, size);
        add_square(n, n, both, size);
      }
    }
    touched_.clear();
    for (Index i = 0; i < width; ++i) {
      if (held_[i] != 0.0) touched_.push_back(i);
    }
    for (const Index i : touched_) {
      gradient_[i] += held_[i];
      double* to = curve_.data() + i * width;
      for (const Index j : touched_) to[j] -= held_[i] * held_[j];
    }
  }

  // The products of slots and load on two nodes, for replicas of one size.
  void add_square(Index n, Index m, double weight, double size) {
    const Index num = num_nodes_, width = 2 * num;
    curve_[n * width + m] += weight;
    curve_[n * width + num + m] += weight * size;
    curve_[(num + n) * width + m] += weight * size;
    curve_[(num + n) * width + num + m] += weight * size * size;
  }

  // What does not come from experts.
  void finish(std::span<const double> prices, double heat, double part) {
    const Index num = num_nodes_, width = 2 * num;
    const double range = asked_.most - asked_.least, spread = part * (1.0 - part) * range * range;
    for (Index n = 0; n < num; ++n) {
      const double gpus = static_cast<double>(asked_.gpus[n]), price = prices[num + n];
      gradient_[n] -= static_cast<double>(asked_.slots[n]);
      gradient_[num + n] += heat / price - gpus * level_;
      for (Index m = 0; m < num; ++m) {
        curve_[(num + n) * width + num + m] += spread * gpus * static_cast<double>(asked_.gpus[m]);
      }
    }
    for (double& entry : curve_) entry /= heat;
    double trace = 0.0;
    for (Index n = 0; n < num; ++n) {
      const double price = prices[num + n];
      curve_[(num + n) * width + num + n] += heat / (price * price);
    }
    for (Index i = 0; i < width; ++i) trace += curve_[i * width + i];
    // Where a node's slots are full of what must be there, their price may be anything.
    const double ridge = kRidge * trace / static_cast<double>(width) + 1e-12;
    for (Index i = 0; i < width; ++i) curve_[i * width + i] += ridge;
  }

  Households asked_;
  Index num_nodes_, num_gpus_ = 0, num_counts_ = 0;
  bool is_possible_ = false;
  std::vector<Index> fewest_, touched_;
  std::vector<double> chance_, held_, gradient_, curve_;
  double proven_ = 0.0, level_ = 0.0;
};

// The solution of a symmetric system by Cholesky's method, which overwrites the matrix; whether it
// is positive definite.
bool solve(Table<double> matrix, std::span<double> right) {
  const Index num = matrix.rows();
  for (Index i = 0; i < num; ++i) {
    for (Index j = 0; j <= i; ++j) {
      double sum = matrix(i, j);
      for (Index k = 0; k < j; ++k) sum -= matrix(i, k) * matrix(j, k);
      if (i > j) {
        matrix(i, j) = sum / matrix(j, j);
      } else if (!(sum > 0.0)) {
        return false;
      } else {
        matrix(i, i) = std::sqrt(sum);
      }
    }
  }
  for (Index i = 0; i < num; ++i) {
    for (Index k = 0; k < i; ++k) right[i] -= matrix(i, k) * right[k];
    right[i] /= matrix(i, i);
  }
  for (Index i = num; i-- > 0;) {
    for (Index k = i + 1; k < num; ++k) right[i] -= matrix(k, i) * right[k];
    right[i] /= matrix(i, i);
  }
  return true;
}

// A damped Newton step; false where it promises too little, or none is found.
bool step(Dual& dual, std::vector<double>& prices, double heat) {
  const Index num = dual.size();
  const double value = dual.look(prices, heat, true);
  std::vector<double> way(dual.gradient().begin(), dual.gradient().end());
  const std::vector<double> slope = way;
  if (!solve(dual.curve(), way)) return false;
  double promised = 0.0, length = 1.0;
  for (Index i = 0; i < num; ++i) {
    promised += way[i] * slope[i];
    if (2 * i >= num && way[i] < 0.0) {
      length = std::min(length, (1.0 - kKept) * prices[i] / -way[i]);
    }
  }
  if (!(promised > kPromised * heat)) return false;
  std::vector<double> further(prices.size());
  for (int i = 0; i < kMaxShorter; ++i) {
    for (Index j = 0; j < num; ++j) {
      further[j] = prices[j] + length * way[j];
      if (2 * j < num) further[j] = std::clamp(further[j], -kMostWorth, kMostWorth);
    }
    if (dual.look(further, heat, false) >= value + kEnough * length * promised) {
      prices.swap(further);
      return true;
    }
    length *= kShorter;
  }
  return false;
}

}  // namespace

std::optional<Prices> ascend(const Households& asked, Deadline deadline) {
  Dual dual(asked);
  if (!dual.is_possible()) return std::nullopt;
  double num_gpus = 0.0;
  for (const Index gpus : asked.gpus) num_gpus += static_cast<double>(gpus);
  std::vector<double> prices(dual.size(), 0.0);
  std::fill(prices.begin() + dual.size() / 2, prices.end(), 1.0 / num_gpus);
  double heat = kFirstHeat, last = 0.0;
  for (; heat >= kLastHeat && !deadline.expired(); heat /= kFall) {
    for (int i = 0; i < kSteps && step(dual, prices, heat); ++i) {
      if (dual.proven() >= asked.enough) return dual.solution(prices, heat);
    }
    last = heat;
  }
  if (last == 0.0) return std::nullopt;
  return dual.solution(prices, last);
}

}  // namespace eplb::bounds
