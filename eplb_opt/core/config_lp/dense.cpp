#include "config_lp/dense.hpp"

#include <algorithm>
#include <cmath>

namespace eplb::config_lp {

namespace {

// A pivot below it is a zero.
constexpr double kSingular = 1e-11;

Index largest_below(Table<double> matrix, Index k) {
  Index row = k;
  for (Index i = k + 1; i < matrix.rows(); ++i) {
    if (std::abs(matrix(i, k)) > std::abs(matrix(row, k))) row = i;
  }
  return row;
}

}  // namespace

void add_scaled(std::span<double> row, double factor, std::span<const double> other) {
  double* const to = row.data();
  const double* const from = other.data();
  for (Index i = 0; i < std::ssize(row); ++i) to[i] += factor * from[i];
}

void subtract_scaled(std::span<double> row, double factor, std::span<const double> other) {
  double* const to = row.data();
  const double* const from = other.data();
  for (Index i = 0; i < std::ssize(row); ++i) to[i] -= factor * from[i];
}

std::optional<std::vector<double>> inverted(Table<double> matrix) {
  const Index num = matrix.rows();
  std::vector<double> cells(num * num);
  const Table<double> inverse(cells.data(), num, num);
  for (Index k = 0; k < num; ++k) inverse(k, k) = 1.0;
  for (Index k = 0; k < num; ++k) {
    const Index row = largest_below(matrix, k);
    if (row != k) {
      std::ranges::swap_ranges(matrix[k], matrix[row]);
      std::ranges::swap_ranges(inverse[k], inverse[row]);
    }
    if (std::abs(matrix(k, k)) < kSingular) return std::nullopt;
    const double scale = 1.0 / matrix(k, k);
    for (double& entry : matrix[k]) entry *= scale;
    for (double& entry : inverse[k]) entry *= scale;
    for (Index i = 0; i < num; ++i) {
      const double factor = matrix(i, k);
      if (i == k || factor == 0.0) continue;
      // What is left of the diagonal is cleared already.
      subtract_scaled(matrix[i].subspan(k), factor, matrix[k].subspan(k));
      subtract_scaled(inverse[i], factor, inverse[k]);
    }
  }
  return cells;
}

}  // namespace eplb::config_lp
