// Do some options hold a plan within the slots? Dynamic programming, expert after expert.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "pairs/options.hpp"
#include "pairs/rows.hpp"

namespace eplb::pairs {

// Decides what branches cannot: where the experts are many and alike, a tree looks at each way to
// share out the same replicas, while here only what they add up to counts.
//
// A label is what the tightened rows (`Rows`) still need after some experts have chosen, and the
// fewest replicas that get there. Experts that are alike lead to the same labels, which are merged
// (dynamic programming over labels, as for shortest paths with resources; Desrochers and Soumis,
// 1988). A label is dropped when it cannot end within the slots: by the Lagrangian bound on what the
// other experts take, or by what they take at least to serve any one row.
class Decider {
 public:
  // `running` [num_rows + 1] are running sums of prices to begin with.
  Decider(Options options, std::vector<double> running, Index num_slots);

  // True when there are counts, false when there are none, nothing when the deadline or the room
  // for labels ended it; after a deadline a further call goes on.
  std::optional<bool> decide(const Deadline& deadline);

  std::span<const std::int64_t> counts() const { return counts_; }
  // Those that it did not strike off before it began.
  const Options& options() const { return options_; }
  bool has_given_up() const { return has_given_up_; }
  // Labels looked at so far, for counted work.
  Index num_tried() const { return num_tried_; }

 private:
  struct Step {
    std::int32_t parent, option;
  };
  using Need = std::uint16_t;

  bool strike_off(std::vector<double>& running, Index num_rows);
  bool list_rows(std::span<const double> running, const Rows& all);
  void list_experts();
  void list_gains(const Rows& all);
  void list_least_counts();
  void begin();
  bool advance(const Deadline& deadline);
  void try_option(Index label, Index option);
  bool can_end(std::int32_t count) const;
  void keep(Index label, Index option, std::int32_t count);
  void make_table_larger();
  void end_stage();
  std::optional<bool> conclude();
  std::span<const Need> needs(Index label) const {
    return {needs_.data() + label * width_, static_cast<std::size_t>(width_)};
  }
  Index stages() const { return std::ssize(experts_); }

  Options options_;
  Index num_slots_, num_tried_ = 0;
  bool is_closed_ = false, has_given_up_ = false;

  // The rows that need something, those with a price first, and what options gain in them.
  std::vector<std::int32_t> rows_;
  Index width_ = 0, num_priced_ = 0;
  std::vector<std::int64_t> price_;
  std::vector<Need> need_, gain_;
  std::vector<std::int32_t> experts_;       // in the order in which they choose
  std::vector<std::int64_t> others_cost_;   // of the experts from a stage on, in the bound
  std::vector<std::int32_t> least_count_;   // stage, row, need: replicas from that stage on
  std::vector<Index> row_begin_;
  Index stage_size_ = 0;

  // Labels of this stage and of the next one.
  Index stage_ = 0, next_label_ = 0;
  std::vector<Need> needs_, next_needs_, tried_;
  std::vector<std::int32_t> count_, next_count_, table_;
  std::vector<std::vector<Step>> steps_;
  std::vector<std::int64_t> counts_;
};

}  // namespace eplb::pairs
