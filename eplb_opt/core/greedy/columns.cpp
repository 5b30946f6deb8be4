#include "greedy/columns.hpp"

#include <algorithm>
#include <bit>

#include "common/wide.hpp"
#include "greedy/keys.hpp"

namespace eplb::greedy {

namespace {

inline __attribute__((always_inline)) void put_in_order(double& low, double& high) {
  const double a = low, b = high;
  low = a < b ? a : b;  // in this form each is one instruction
  high = a > b ? a : b;
}

// Batcher's odd-even merge sort of 8 keys, which has as few comparisons as any network can have.
constexpr int kEight[19][2] = {{0, 1}, {2, 3}, {4, 5}, {6, 7}, {0, 2}, {1, 3}, {4, 6},
                               {5, 7}, {1, 2}, {5, 6}, {0, 4}, {1, 5}, {2, 6}, {3, 7},
                               {2, 4}, {3, 5}, {1, 2}, {3, 4}, {5, 6}};

// Halves, quarters and eighths of a bitonic sequence of 8 keys.
constexpr int kThreeLevels[12][2] = {{0, 4}, {1, 5}, {2, 6}, {3, 7}, {0, 2}, {1, 3},
                                     {4, 6}, {5, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}};
constexpr int kTwoLevels[4][2] = {{0, 2}, {1, 3}, {0, 1}, {2, 3}};
constexpr int kOneLevel[1][2] = {{0, 1}};

// Compare the given places of `kPlaces` rows that are `stride` rows apart, in registers.
template <int kPlaces, std::size_t kPairs>
inline __attribute__((always_inline)) void compare(KeyRow* first, Index stride,
                                                   const int (&pairs)[kPairs][2]) {
  double* const at = first->lane;
  const Index step = stride * kLanes;
#pragma GCC ivdep
  for (Index lane = 0; lane < kLanes; ++lane) {
    double key[kPlaces];
#pragma GCC unroll 8
    for (int i = 0; i < kPlaces; ++i) key[i] = at[i * step + lane];
#pragma GCC unroll 32
    for (std::size_t i = 0; i < kPairs; ++i) put_in_order(key[pairs[i][0]], key[pairs[i][1]]);
#pragma GCC unroll 8
    for (int i = 0; i < kPlaces; ++i) at[i * step + lane] = key[i];
  }
}

EPLB_WIDE void sort_eights(KeyRow* rows, Index end) {
  for (Index first = 0; first < end; first += 8) compare<8>(rows + first, 1, kEight);
}

// Compare the i-th row of a block with the i-th from its end: two sorted halves become two bitonic
// ones, the keys of the first no greater than those of the second.
EPLB_WIDE void fold(KeyRow* block, Index size, Index end) {
  // Past the end stand the highest keys: nothing would change there.
  for (Index i = std::max<Index>(size - end, 0); i < size / 2; ++i) {
    compare<2>(block + i, size - 1 - 2 * i, kOneLevel);
  }
}

// `kLevels` halvings of bitonic sequences, the first one at distance `distance`.
template <int kPlaces, std::size_t kPairs>
inline __attribute__((always_inline)) void halve(KeyRow* rows, Index end, Index distance,
                                                 const int (&pairs)[kPairs][2]) {
  const Index stride = 2 * distance / kPlaces;
  for (Index first = 0; first < end; first += 2 * distance) {
    for (Index i = 0; i < stride; ++i) compare<kPlaces>(rows + first + i, stride, pairs);
  }
}

EPLB_WIDE void halve_thrice(KeyRow* rows, Index end, Index distance) {
  halve<8>(rows, end, distance, kThreeLevels);
}
EPLB_WIDE void halve_twice(KeyRow* rows, Index end, Index distance) {
  halve<4>(rows, end, distance, kTwoLevels);
}
EPLB_WIDE void halve_once(KeyRow* rows, Index end, Index distance) {
  halve<2>(rows, end, distance, kOneLevel);
}

// Sort the bitonic sequences that begin at every multiple of 2 * distance below `end`.
void sort_bitonic(KeyRow* rows, Index end, Index distance) {
  while (distance >= 4) {
    halve_thrice(rows, end, distance);
    distance /= 8;
  }
  if (distance == 2) halve_twice(rows, end, distance);
  if (distance == 1) halve_once(rows, end, distance);
}

}  // namespace

Index network_size(Index number) {
  return std::max<Index>(8, static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(number))));
}

Columns::Columns(Index least_rows)
    : size_(network_size(least_rows)), rows_(std::make_unique_for_overwrite<KeyRow[]>(size_)) {}

void Columns::fill_up(Index first, Index count) {
  for (Index row = first + count; row < first + network_size(count); ++row) {
    for (double& key : rows_[row].lane) key = keys::sortable(keys::kHighest);
  }
}

void Columns::sort(Index first, Index count) {
  fill_up(first, count);
  KeyRow* const rows = rows_.get() + first;
  sort_eights(rows, count);
  for (Index block = 16; block / 2 < count; block *= 2) {
    for (Index at = 0; at < count; at += block) fold(rows + at, block, count - at);
    sort_bitonic(rows, count, block / 4);
  }
}

void Columns::merge(Index half, Index count) {
  fill_up(half, count);
  fold(rows_.get(), 2 * half, half + count);
  sort_bitonic(rows_.get(), half, half / 2);
  // Beyond `count` stand the highest keys: comparisons that reach further change nothing.
  sort_bitonic(rows_.get() + half, count, network_size(count) / 2);
}

}  // namespace eplb::greedy
