// What prices of the balance rows prove, in integers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pairs/options.hpp"
#include "pairs/rows.hpp"

namespace eplb::pairs {

// Prices and costs are integers of 1 / kDigits replicas.
inline constexpr std::int64_t kDigits = std::int64_t{1} << 24;

// From running sums [num_rows + 1] to integer prices [num_rows], 0 where a row needs nothing.
void round_prices(std::span<const double> running, std::span<const std::int64_t> need,
                  std::span<std::int64_t> price);

// The Lagrangian bound sum_i y_i need_i + sum_e min_c (c - sum_i y_i gain_i) on the replicas of any
// plan that takes one option an expert, where a gain is the term of `Rows`, cut.
//
// The rows' needs cancel: with Y the running sum of the prices, an option costs c - change Y[rank],
// and what the cut of a row takes from its gain is added back. An option's rows that cut it are
// found by the first of the expert's options that each row cuts: as the counts ascend, so do the
// ranks of the small replicas, so from there on all are cut.
class Prover {
 public:
  // The bound; `excess` [num_options] gets what an option costs more than its expert's cheapest.
  // `price` [num_rows] is 0 where a row needs nothing.
  std::int64_t prove(const Options& options, const Rows& rows, std::span<const std::int64_t> price,
                     std::span<std::int64_t> excess);

 private:
  struct Cut {
    std::int64_t price, priced_cut;
  };

  void add_cuts(const Options& options, const Rows& rows, Index expert,
                std::span<const std::int64_t> price, std::span<std::int64_t> cost);

  std::vector<std::int64_t> running_;
  std::vector<std::int32_t> cutting_;  // tight rows with a price
  std::vector<Cut> begins_;            // of the rows that cut from this small option on
};

}  // namespace eplb::pairs
