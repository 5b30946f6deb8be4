#include <nanobind/stl/optional.h>
#include <nanobind/stl/unique_ptr.h>

#include "annealing/topology_search.hpp"
#include "bindings/annealing_arguments.hpp"
#include "bindings/chapters.hpp"

namespace eplb::bind {

namespace {

using annealing::Chance;
using annealing::Homes;
using annealing::Machine;
using annealing::TopologySearch;

// Nodes are named from 0 on in the order of their GPUs.
Index count_nodes(std::span<const Index> node) {
  Index num_nodes = 0;
  for (const Index one : node) {
    require(one == num_nodes || (num_nodes > 0 && one == num_nodes - 1),
            "node does not go up from 0 by steps of at most 1.");
    num_nodes = one + 1;
  }
  return num_nodes;
}

std::unique_ptr<TopologySearch> make_topology_search(
    const Machine& machine, const Row<const double>& share, const Row<const Index>& home,
    const Row<const Index>& node, double price, double most, bool anchored,
    const Row<const Index>& slots, const Chance& chance,
    const std::optional<Matrix<const double>>& part,
    const std::optional<Row<const double>>& scenario, bool worst) {
  const Index num_experts = static_cast<Index>(share.shape(0));
  require_size("share", num_experts, machine.num_experts());
  require_size("home", static_cast<Index>(home.shape(0)), num_experts);
  require_size("node", static_cast<Index>(node.shape(0)), machine.num_gpus());
  require_indices("home", view(home), count_nodes(view(node)));
  require(price >= 0, "price is below 0, or no number.");
  require_placement(slots, machine.num_slots(), num_experts);
  const double alone = 1.0;
  const Table<const double> parts =
      part ? view(*part) : Table<const double>(view(share).data(), num_experts, 1);
  const std::span<const double> shares = scenario ? view(*scenario) : std::span(&alone, 1);
  require_size("part", parts.rows(), num_experts);
  require_size("scenario", std::ssize(shares), parts.columns());
  std::vector<double> weight;
  for (const double one : parts.all()) {
    weight.push_back(one * static_cast<double>(machine.num_gpus()));
  }
  const Homes homes{view(share), view(home), view(node), price, most, anchored};
  const annealing::Scenarios scenarios{
      Table<const double>(weight.data(), num_experts, parts.columns()), shares, worst};
  return std::make_unique<TopologySearch>(machine, scenarios, parts, homes, view(slots), chance);
}

void restart(TopologySearch& search, const Row<const Index>& slots, const Row<const Index>& home) {
  const Index num_experts = search.placement().num_experts();
  require_placement(slots, search.placement().num_slots(), num_experts);
  require_size("home", static_cast<Index>(home.shape(0)), num_experts);
  require_indices("home", view(home), search.traffic().num_nodes());
  search.restart(view(slots), view(home));
}

void anneal(TopologySearch& search, int doublings, double temperature, Index transfers, Index near,
            Index homeward, Index settling, Index slices, double seconds) {
  require_doublings(doublings);
  const Deadline deadline = deadline_after(seconds);
  nb::gil_scoped_release unlocked;
  search.anneal({doublings, temperature, transfers, near, homeward, settling}, slices, deadline);
}

}  // namespace

void add_topology(nb::module_& chapter) {
  nb::class_<TopologySearch>(
      chapter, "TopologySearch",
      "Annealing of one layer for its largest GPU load plus a price on what is served off home.\n\n"
      "`share` (float64 [num_experts]) is each expert's part of all tokens, `home` (int64\n"
      "[num_experts]) its home node, and `node` (int64 [num_gpus], ascending from 0) the node of\n"
      "each GPU. The objective is the largest load over the mean, plus `price` times the part of\n"
      "tokens that replicas away from home serve; at most `most` of them do. With `anchored` every\n"
      "expert keeps a replica at home. `slots` (int64 [num_slots]) is the plan to start from.\n\n"
      "With several loads `part` (float64 [num_experts, num_scenarios]) has each expert's part in\n"
      "each, `scenario` (float64 [num_scenarios]) what each counts, and `share` the parts so\n"
      "weighted. With `worst` the objective is the largest of the loads' instead, and `most` holds\n"
      "for each of them.")
      .def(nb::new_(&make_topology_search), nb::arg("machine"), nb::arg("share"), nb::arg("home"),
           nb::arg("node"), nb::arg("price"), nb::arg("most"), nb::arg("anchored"),
           nb::arg("slots"), nb::arg("chance"), nb::arg("part") = nb::none(),
           nb::arg("scenario") = nb::none(), nb::arg("worst") = false)
      .def("restart", &restart, nb::arg("slots"), nb::arg("home"),
           "Go on from another plan, with other homes; the best plan is kept.")
      .def("anneal", &anneal, nb::arg("doublings"), nb::arg("temperature"), nb::arg("transfers"),
           nb::arg("near"), nb::arg("homeward"), nb::arg("settling"), nb::arg("slices"), nb::arg("seconds"),
           "So many slices of 256 swaps and copy transfers, fewer where the seconds are over.\n\n"
           "The norm's p is 2**doublings; `temperature` is in units of the objective. Of 1024\n"
           "proposals `transfers` are copy transfers; of these `settling` give an expert a\n"
           "replica at its home. Of the swaps `near` are within a node, and `homeward` of the others\n"
           "bring an expert to its home.")
      .def_prop_ro("best", &TopologySearch::best, "The best plan's objective.")
      .def("plan", [](const TopologySearch& search) { return copy_of(search.best_slots()); },
           "The best plan, int64 [num_slots].")
      .def_prop_ro("largest_load", &TopologySearch::largest_load,
                   "The largest GPU load now, relative to the mean.")
      .def_prop_ro("away", &TopologySearch::away,
                   "The part of all tokens that is served away from home now.");
}

}  // namespace eplb::bind
