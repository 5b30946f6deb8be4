#include <nanobind/stl/optional.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/variant.h>

#include "annealing/share_search.hpp"
#include "bindings/annealing_arguments.hpp"
#include "bindings/chapters.hpp"
#include "bindings/share_rules.hpp"

namespace eplb::bind {

namespace {

using annealing::Chance;
using annealing::CrossingTerms;
using annealing::Machine;
using annealing::PlanInForce;
using annealing::ShareRule;
using annealing::ShareSearch;

// What a move counts at most, and the most counts of moves for which a plan is kept.
constexpr Index kMostCount = Index{1} << 20, kMostKept = Index{1} << 20;

// No expert has more replicas than the rule knows.
void require_counts(const Row<const Index>& slots, Index num_experts, Index most) {
  std::vector<Index> count(num_experts);
  for (const Index expert : view(slots)) {
    require(++count[expert] <= most, "slots holds an expert more often than the rule's most.");
  }
}

CrossingTerms make_crossing(const Row<const double>& share, const Row<const Index>& node,
                            double price, double most, Index near, Index settling) {
  const auto shares = view(share);
  const auto nodes = view(node);
  require(!nodes.empty() && nodes[0] == 0, "node does not go up from 0 by steps of at most 1.");
  for (std::size_t gpu = 1; gpu < nodes.size(); ++gpu) {
    require(nodes[gpu] == nodes[gpu - 1] || nodes[gpu] == nodes[gpu - 1] + 1,
            "node does not go up from 0 by steps of at most 1.");
  }
  require(price >= 0.0 && most >= 0.0, "price or most is negative, or no number.");
  require(0 <= near && near <= annealing::kFine, "near is not in 0..1024.");
  require(0 <= settling && settling <= annealing::kFine, "settling is not in 0..1024.");
  return {{shares.begin(), shares.end()}, {nodes.begin(), nodes.end()}, price, most, near, settling};
}

PlanInForce plan_in_force(const std::optional<Matrix<const Index>>& moves, Index num_gpus,
                          Index num_experts, Index num_kept) {
  require(1 <= num_kept && num_kept <= kMostKept, "num_kept is not in 1..2**20.");
  if (!moves) {
    require(num_kept == 1, "num_kept is for counts of moves, and there are no moves.");
    return PlanInForce(Table<const Index>(nullptr, 0, num_experts));
  }
  require_size("moves", static_cast<Index>(moves->shape(0)), num_gpus);
  require_size("moves", static_cast<Index>(moves->shape(1)), num_experts);
  for (const Index count : view(*moves).all()) {
    require(0 <= count && count <= kMostCount, "A move counts less than 0, or more than 2**20.");
  }
  return PlanInForce(view(*moves));
}

std::unique_ptr<ShareSearch> make_share_search(const Machine& machine, const ShareRule& rule,
                                               const Matrix<const double>& values,
                                               const Row<const double>& share, bool worst,
                                               const Row<const Index>& slots,
                                               const Chance& chance,
                                               const CrossingTerms* crossing,
                                               const std::optional<Matrix<const Index>>& moves,
                                               Index num_kept) {
  const Index num_experts = machine.num_experts();
  const auto [columns, most] = std::visit(
      [](const auto& kind) { return std::pair{kind.last_column() + 1, kind.most_copies()}; }, rule);
  require_size("values", static_cast<Index>(values.shape(0)), num_experts * columns);
  require_size("share", static_cast<Index>(share.shape(0)), static_cast<Index>(values.shape(1)));
  require_placement(slots, machine.num_slots(), num_experts);
  require_counts(slots, num_experts, most);
  if (const auto* nearest = std::get_if<shares::Nearest>(&rule)) {
    require_size("rule", nearest->num_slots(), machine.num_slots());
  }
  if (crossing != nullptr) {
    require(!std::holds_alternative<shares::ByCount>(rule),
            "What crosses nodes is known where GPUs send alone.");
    require_size("the crossing's share", std::ssize(crossing->share), num_experts);
    require_size("the crossing's node", std::ssize(crossing->node), machine.num_gpus());
  }
  const PlanInForce in_force = plan_in_force(moves, machine.num_gpus(), num_experts, num_kept);
  const annealing::ShareLoads loads{view(values), view(share), worst};
  return std::make_unique<ShareSearch>(machine, rule, loads, view(slots), chance, crossing,
                                       in_force, num_kept);
}

void restart(ShareSearch& search, const Row<const Index>& slots) {
  const annealing::Placement& placement = search.placement();
  require_placement(slots, placement.num_slots(), placement.num_experts());
  require_counts(slots, placement.num_experts(), search.most_copies());
  search.restart(view(slots));
}

void anneal(ShareSearch& search, int doublings, double temperature, Index transfers, Index slices,
            double seconds, double price) {
  require_doublings(doublings);
  require_price(price, search.best());
  const Deadline deadline = deadline_after(seconds);
  nb::gil_scoped_release unlocked;
  search.anneal({doublings, temperature, price, transfers}, slices, deadline);
}

double least(const ShareSearch& search) {
  return *std::ranges::min_element(search.best().values());
}

NumpyRow<Index> plan(const ShareSearch& search, Index kept) {
  const auto values = search.best().values();
  if (kept < 0) kept = std::ranges::min_element(values) - values.begin();
  require_indices("kept", std::span<const Index>(&kept, 1), std::ssize(values));
  return copy_of(search.best().slots(kept));
}

}  // namespace

void add_shares(nb::module_& chapter) {
  add_share_rules(chapter);
  nb::class_<CrossingTerms>(
      chapter, "Crossing",
      "A price on what crosses nodes where every GPU sends to one replica.\n\n"
      "`share` (float64 [num_experts]) is each expert's among all tokens, `node` (int64\n"
      "[num_gpus], ascending from 0) the node of each GPU. `price` is what all tokens crossing are\n"
      "worth in mean GPU loads, `most` the largest part that may. Of 1024 swaps `near` stay on a\n"
      "node, and of 1024 transfers `settling` go to a node without their expert.")
      .def(nb::new_(&make_crossing), nb::arg("share"), nb::arg("node"), nb::arg("price"),
           nb::arg("most"), nb::arg("near"), nb::arg("settling"));
  nb::class_<ShareSearch>(
      chapter, "ShareSearch",
      "Annealing of one layer whose replicas carry what a rule says of where they stand.\n\n"
      "`values` (float64 [num_experts * columns, num_scenarios]) is what a replica of an expert\n"
      "puts on its GPU with each column of the rule, 0 to the last one, over the mean GPU load of\n"
      "the scenario. `share` (float64 [num_scenarios]) is what each scenario counts; with `worst`\n"
      "the worst one counts instead. `slots` (int64 [num_slots]) is the plan to start from.\n"
      "`crossing` is the price on what crosses nodes, which the objective then has added; None for\n"
      "none. `moves` (int64 [num_gpus, num_experts], or None) is what an expert counts on a GPU\n"
      "where the plan in force does not have it, and 0 where it does: then the best plan is kept\n"
      "for every count of moves below `num_kept`, the last one for so many or more.")
      .def(nb::new_(&make_share_search), nb::arg("machine"), nb::arg("rule"), nb::arg("values"),
           nb::arg("share"), nb::arg("worst"), nb::arg("slots"), nb::arg("chance"),
           nb::arg("crossing").none() = nb::none(), nb::arg("moves") = nb::none(),
           nb::arg("num_kept") = 1)
      .def("restart", &restart, nb::arg("slots"), "Go on from another plan; the best one is kept.")
      .def("anneal", &anneal, nb::arg("doublings"), nb::arg("temperature"), nb::arg("transfers"),
           nb::arg("slices"), nb::arg("seconds"), nb::arg("price") = 0.0,
           "So many slices of 256 swaps and copy transfers, fewer where the seconds are over.\n\n"
           "The norm's p is 2**doublings; `temperature` and `price`, of a move, are in units of\n"
           "the objective; `transfers` of 1024 proposals are copy transfers.")
      .def_prop_ro("best", &least, "The best plan's objective, with any number of moves.")
      .def("values", [](const ShareSearch& search) {
        return copy_of(search.best().values());
      }, "The best objective with each count of moves, float64 [num_kept].")
      .def("plan", &plan, nb::arg("kept") = -1,
           "The plan of that entry of `values`, by default the best one, int64 [num_slots].")
      .def("present", [](const ShareSearch& search) { return copy_of(search.placement().slots()); },
           "The plan that the search is at, int64 [num_slots].")
      .def("loads", [](const ShareSearch& search) { return to_numpy(search.loads()); },
           "Its GPU loads as they were followed move by move, float64 [num_gpus * num_scenarios].")
      .def_prop_ro("largest_load", &ShareSearch::largest_load,
                   "The largest GPU load now, relative to the mean.")
      .def_prop_ro("away", &ShareSearch::away,
                   "The part of all tokens that crosses nodes now; 0 without a price on it.");
}

}  // namespace eplb::bind
