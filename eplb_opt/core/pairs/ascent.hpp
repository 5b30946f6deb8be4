// Prices of the balance rows by dual ascent.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pairs/options.hpp"
#include "pairs/rows.hpp"

namespace eplb::pairs {

// Raises the Lagrangian bound of `Prover`, in floating point: a subgradient method (Held, Wolfe and
// Crowder, "Validation of subgradient optimization", 1974) with steps aimed at the number of slots.
//
// It ascends along the running sums Y of the prices, projected onto the ascending sequences, which
// is far better conditioned than the prices themselves: a hundred steps come close to the linear
// program.
class Ascent {
 public:
  // Look at all options, with the rows' cuts; or at the first few of each expert, without.
  void take_all(const Options& options, const Rows& rows);
  void take_first(const Options& options, Index num_rows);

  // Raise the bound until it passes the slots, the steps are done or nothing more comes.
  //
  // `running` [num_rows + 1] are the running sums to begin with, 0 first; the best ones in the end.
  // `weight` [num_options] gets how often each option was its expert's cheapest, by step length.
  double climb(double slots, Index steps, std::span<double> running, std::span<double> weight);

 private:
  void take(const Options& options, Index num_rows);
  void add_cuts(const Options& options, const Rows& rows, Index expert);
  double cheapest(std::span<const double> running);
  void find_slope();
  double squared_slope() const;
  void project(std::span<const double> wanted, std::span<double> out);

  struct Choice {
    double count, change;
    std::int32_t rank, cuts_end;
  };
  struct Cut {
    double amount;
    std::int32_t row;
  };
  struct Block {
    double total;
    std::int64_t size;
  };

  std::vector<Choice> choices_;              // those looked at
  std::vector<std::int32_t> option_;         // the number of each
  std::vector<std::int32_t> first_;          // [num_experts + 1], into choices_
  std::vector<Cut> cuts_;                    // choice after choice
  std::vector<std::int32_t> picked_;         // [num_experts], into choices_
  std::vector<double> price_, slope_, wanted_, at_;
  std::vector<Block> blocks_;
};

}  // namespace eplb::pairs
