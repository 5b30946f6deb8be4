// Rows of numbers added to each other, and the inverse of a matrix.
#pragma once

#include <optional>
#include <vector>

#include "common/views.hpp"

namespace eplb::config_lp {

// row += factor * other, each product and each sum rounded on its own.
void add_scaled(std::span<double> row, double factor, std::span<const double> other);

// row -= factor * other
void subtract_scaled(std::span<double> row, double factor, std::span<const double> other);

// The inverse of a square matrix, row after row, by Gauss-Jordan elimination with partial pivoting
// (Golub and Van Loan, "Matrix computations", section 3.4); overwrites the matrix. Nothing where
// rounding leaves no pivot. Ours and not LAPACK's, whose threads fight for the cores and change the
// last bits.
std::optional<std::vector<double>> inverted(Table<double> matrix);

}  // namespace eplb::config_lp
