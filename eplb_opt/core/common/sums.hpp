// Sums of floating-point numbers in one order that no compiler and no processor changes.
#pragma once

#include <array>

#include "common/views.hpp"

namespace eplb {

// The sum of term(begin) .. term(begin + num - 1), in halves down to blocks of at most 128 that
// eight partial sums share. Its rounding error grows with the logarithm of the length (Higham, "The
// accuracy of floating point summation", 1993), and the order is that of numpy's `sum` along a
// row, so that code here and there says the same.
template <typename Term>
double pairwise_sum(Index begin, Index num, const Term& term) {
  if (num < 8) {
    double sum = 0.0;
    for (Index i = begin; i < begin + num; ++i) sum += term(i);
    return sum;
  }
  if (num > 128) {
    const Index half = num / 2 - num / 2 % 8;
    return pairwise_sum(begin, half, term) + pairwise_sum(begin + half, num - half, term);
  }
  std::array<double, 8> part;
  for (Index k = 0; k < 8; ++k) part[k] = term(begin + k);
  Index i = 8;
  for (; i < num - num % 8; i += 8) {
    for (Index k = 0; k < 8; ++k) part[k] += term(begin + i + k);
  }
  double sum =
      ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  for (; i < num; ++i) sum += term(begin + i);
  return sum;
}

}  // namespace eplb
