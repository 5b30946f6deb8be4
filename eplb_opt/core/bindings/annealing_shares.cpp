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
using annealing::ShareRule;
using annealing::ShareSearch;

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

std::unique_ptr<ShareSearch> make_share_search(const Machine& machine, const ShareRule& rule,
                                               const Matrix<const double>& values,
                                               const Row<const double>& share, bool worst,
                                               const Row<const Index>& slots,
                                               const Chance& chance,
                                               const CrossingTerms* crossing) {
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
  const annealing::ShareLoads loads{view(values), view(share), worst};
  return std::make_unique<ShareSearch>(machine, rule, loads, view(slots), chance, crossing);
}

void restart(ShareSearch& search, const Row<const Index>& slots) {
  const annealing::Placement& placement = search.placement();
  require_placement(slots, placement.num_slots(), placement.num_experts());
  require_counts(slots, placement.num_experts(), search.most_copies());
  search.restart(view(slots));
}

void anneal(ShareSearch& search, int doublings, double temperature, Index transfers, Index slices,
            double seconds) {
  require_doublings(doublings);
  const Deadline deadline = deadline_after(seconds);
  nb::gil_scoped_release unlocked;
  search.anneal({doublings, temperature, transfers}, slices, deadline);
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
      "none.")
      .def(nb::new_(&make_share_search), nb::arg("machine"), nb::arg("rule"), nb::arg("values"),
           nb::arg("share"), nb::arg("worst"), nb::arg("slots"), nb::arg("chance"),
           nb::arg("crossing").none() = nb::none())
      .def("restart", &restart, nb::arg("slots"), "Go on from another plan; the best one is kept.")
      .def("anneal", &anneal, nb::arg("doublings"), nb::arg("temperature"), nb::arg("transfers"),
           nb::arg("slices"), nb::arg("seconds"),
           "So many slices of 256 swaps and copy transfers, fewer where the seconds are over.\n\n"
           "The norm's p is 2**doublings; `temperature` is in units of the objective; `transfers`\n"
           "of 1024 proposals are copy transfers.")
      .def_prop_ro("best", &ShareSearch::best, "The best plan's objective.")
      .def("plan", [](const ShareSearch& search) { return copy_of(search.best_slots()); },
           "The best plan, int64 [num_slots].")
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
