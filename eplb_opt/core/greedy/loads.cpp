#include "greedy/loads.hpp"

#include <cmath>
#include <limits>

namespace eplb::greedy {

namespace {

constexpr Index kSums = 8;  // partial sums, so that additions need not wait for one another

struct RowSums {
  double total = 0;
  double least = std::numeric_limits<double>::infinity();
};

template <typename T>
RowSums convert(const StridedRow<T>& given, std::span<float> single) {
  double sum[kSums] = {}, least[kSums];
  for (double& value : least) value = std::numeric_limits<double>::infinity();
  const Index size = std::ssize(single), even = size - size % kSums;
  const auto take = [&](Index i, Index lane) {
    const double value = static_cast<double>(given[i]);
    sum[lane] += value;
    least[lane] = value < least[lane] ? value : least[lane];
    single[i] = std::fabs(static_cast<float>(given[i]));  // -0.0 would be ordered last
  };
  for (Index first = 0; first < even; first += kSums) {
    for (Index lane = 0; lane < kSums; ++lane) take(first + lane, lane);
  }
  for (Index i = even; i < size; ++i) take(i, i - even);
  RowSums sums;
  for (Index lane = 0; lane < kSums; ++lane) {
    sums.total += sum[lane];
    sums.least = least[lane] < sums.least ? least[lane] : sums.least;
  }
  return sums;
}

}  // namespace

bool LoadSummary::is_sound() const {
  constexpr double kLargest = std::numeric_limits<float>::max() / 2.0;
  return least >= 0 && largest_total <= kLargest;  // neither holds of NaN
}

Loads::Loads(const StridedTable& given)
    : rows_(given.rows),
      columns_(given.columns),
      single_(rows_ * columns_),
      total_(rows_),
      summary_{std::numeric_limits<double>::infinity(), 0} {
  with_type(given.type, [&](auto number) {
    using T = decltype(number);
    for (Index row = 0; row < rows_; ++row) {
      const RowSums sums = convert(StridedRow<T>(given, row),
                                   std::span(single_).subspan(row * columns_, columns_));
      total_[row] = sums.total;
      summary_.least = sums.least < summary_.least ? sums.least : summary_.least;
      // A NaN in a row is in its total, and stays in the largest.
      summary_.largest_total =
          sums.total <= summary_.largest_total ? summary_.largest_total : sums.total;
      if (std::isnan(sums.total)) return;
    }
  });
}

}  // namespace eplb::greedy
