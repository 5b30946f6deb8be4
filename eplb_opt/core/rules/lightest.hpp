// The GPU that a replica loads least.
#pragma once

#include <algorithm>
#include <limits>

#include "common/views.hpp"

namespace eplb::rules {

// The first GPU whose (filled + share) * slowness is least among those that `accepts` lets in; -1
// where it lets in none. GPUs that take nothing are filled without end.
template <typename Accepts>
Index lightest_gpu(std::span<const double> filled, std::span<const double> slowness, double share,
                   const Accepts& accepts) {
  constexpr Index kBlock = 8;
  constexpr double kEndless = std::numeric_limits<double>::infinity();
  const Index end = std::ssize(filled);
  double least = kEndless;
  Index found = -1;
  for (Index first = 0; first < end; first += kBlock) {
    const Index last = std::min(first + kBlock, end);
    // Few blocks hold a lower one than all before, and asking for a block at once is one
    // vector loop without a branch.
    bool is_lower = false;
    for (Index gpu = first; gpu < last; ++gpu) {
      is_lower |= (filled[gpu] + share) * slowness[gpu] < least;
    }
    if (!is_lower) continue;
    for (Index gpu = first; gpu < last; ++gpu) {
      const double level = (filled[gpu] + share) * slowness[gpu];
      if (level < least && accepts(gpu)) {
        least = level;
        found = gpu;
      }
    }
  }
  return found;
}

}  // namespace eplb::rules
