// Annealing of one layer whose replicas carry parts that depend on where they stand, or loads that
// are not proportional to their part.
#pragma once

#include <memory>
#include <variant>

#include "annealing/best_plans.hpp"
#include "annealing/crossing.hpp"
#include "annealing/machine.hpp"
#include "annealing/load_norm.hpp"
#include "annealing/proposal.hpp"
#include "common/clock.hpp"
#include "shares/rules.hpp"

namespace eplb::annealing {

using ShareRule = std::variant<shares::ByCount, shares::RankModulo, shares::Nearest>;

// How a stretch of annealing goes.
struct ShareStretch {
  int doublings;       // the norm's p is 2**doublings
  double temperature;  // in units of the objective
  double price;        // of a move, in the same units; 0 without a plan in force
  Index transfers;     // proposals that are transfers, of kFine
};

// What a layer is planned for.
struct ShareLoads {
  Table<const double> values;     // rows of `ShareValues`
  std::span<const double> share;  // what each scenario counts
  bool worst;                     // whether the worst one counts instead of the weighted sum
};

class ShareSearch {
 public:
  // `crossing` is null where what crosses nodes has no price. With a plan in force, the best plan
  // is kept for every count of moves below `num_kept`, the last one for so many or more.
  ShareSearch(const Machine& machine, const ShareRule& rule, const ShareLoads& loads,
              std::span<const Index> slots, Chance chance, const CrossingTerms* crossing,
              const PlanInForce& in_force, Index num_kept);
  ~ShareSearch();
  ShareSearch(const ShareSearch&) = delete;
  ShareSearch& operator=(const ShareSearch&) = delete;

  // Goes on from another plan; the best one is kept.
  void restart(std::span<const Index> slots);
  // So many slices of proposals, fewer where the time is over.
  void anneal(const ShareStretch& stretch, Index slices, Deadline deadline);

  const Placement& placement() const;
  Index most_copies() const { return most_copies_; }
  const BestPlans& best() const;
  double largest_load() const;  // now
  double away() const;          // the part of all tokens that crosses nodes now; 0 without a price
  // The load of each GPU in each scenario as it was followed move by move.
  std::vector<double> loads() const;

  // What does the work for one kind of rule; see share_search.cpp.
  class Work;

 private:
  Index most_copies_;  // that the rule knows
  std::unique_ptr<Work> work_;
};

}  // namespace eplb::annealing
