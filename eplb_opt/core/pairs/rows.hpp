// The balance rows over the options that are left, tightened.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/views.hpp"
#include "pairs/options.hpp"

namespace eplb::pairs {

// Let m_e be the least that expert e adds to a row by any option that is left. The row says
// sum_e (change - m_e) >= need with need = -sum_e m_e, and every term is at least 0. A term above
// the need satisfies the row alone, so it may be cut to the need (a coefficient tightening as for
// knapsack covers); a row without need says nothing. The cut makes the relaxation far stronger: no
// fraction of a large count can stand in for several small ones.
class Rows {
 public:
  // m_e is the same for the rows up to `end`, from where the step before ended.
  struct Step {
    std::int32_t end, least;
  };

  void build(const Options& options, Index num_rows);

  Index size() const { return std::ssize(need_); }
  std::span<const std::int64_t> need() const { return need_; }
  std::span<const Step> steps(Index expert) const {
    return {steps_.data() + first_step_[expert],
            static_cast<std::size_t>(first_step_[expert + 1] - first_step_[expert])};
  }
  // The rows with a need so small that the cut can take something from some expert's term.
  std::span<const std::int32_t> tight() const { return tight_; }

  // What an expert's terms are cut at, row after row in ascending order: a term is change - m_e.
  class Walk {
   public:
    Walk(const Rows& rows, Index expert) : step_(rows.steps(expert).data()), need_(rows.need_) {}

    // A change above this is cut: m_e + need.
    std::int64_t cut_at(Index row) {
      while (step_->end <= row) ++step_;
      return step_->least + need_[row];
    }

   private:
    const Step* step_;
    std::span<const std::int64_t> need_;
  };

 private:
  std::int64_t add_expert(const Options& options, Index expert);
  void add_step(Index end, Index least);
  void list_tight(std::int64_t reach);

  std::vector<std::int64_t> need_;
  std::vector<Step> steps_;
  std::vector<std::int32_t> first_step_, tight_;
  std::int32_t begin_ = 0;
};

}  // namespace eplb::pairs
