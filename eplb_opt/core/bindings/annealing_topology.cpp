#include <nanobind/stl/optional.h>
#include <nanobind/stl/unique_ptr.h>

#include <algorithm>
#include <optional>
#include <type_traits>

#include "annealing/node_search.hpp"
#include "annealing/topology_search.hpp"
#include "bindings/annealing_arguments.hpp"
#include "bindings/chapters.hpp"

namespace eplb::bind {

namespace {

using annealing::Chance;
using annealing::Homes;
using annealing::Machine;
using annealing::PackedSearch;
using annealing::PairedSearch;
using annealing::TopologySearch;

// Nodes, or places, are named from 0 on in the order of their GPUs.
Index count(const char* name, std::span<const Index> node) {
  Index num_nodes = 0;
  for (const Index one : node) {
    require(one == num_nodes || (num_nodes > 0 && one == num_nodes - 1),
            std::string(name) + " does not go up from 0 by steps of at most 1.");
    num_nodes = one + 1;
  }
  return num_nodes;
}

// Costs of 0 at home and 1 elsewhere.
std::vector<double> off_home(Index num_nodes) {
  std::vector<double> cost(num_nodes * num_nodes, 1.0);
  for (Index node = 0; node < num_nodes; ++node) cost[node * num_nodes + node] = 0.0;
  return cost;
}

template <typename Search, typename... Fill>
std::unique_ptr<Search> make_search(
    const Machine& machine, const Row<const double>& share, const Row<const Index>& home,
    const Row<const Index>& node, double price, double most, bool anchored,
    const Row<const Index>& slots, const Chance& chance,
    const std::optional<Matrix<const double>>& cost, const std::optional<Row<const Index>>& place,
    bool by_home, const std::optional<Matrix<const double>>& part,
    const std::optional<Row<const double>>& scenario, bool worst, const Fill&... fill) {
  const Index num_experts = static_cast<Index>(share.shape(0));
  require_size("share", num_experts, machine.num_experts());
  require_size("home", static_cast<Index>(home.shape(0)), num_experts);
  require_size("node", static_cast<Index>(node.shape(0)), machine.num_gpus());
  const Index num_nodes = count("node", view(node));
  require_indices("home", view(home), num_nodes);
  require(cost.has_value() == place.has_value(), "cost and place come together.");
  const std::vector<double> default_cost = off_home(num_nodes);
  Table<const double> costs(default_cost.data(), num_nodes, num_nodes);
  std::span<const Index> places = view(node);
  if (cost.has_value()) {
    costs = view(*cost);
    places = view(*place);
    require_size("place", static_cast<Index>(place->shape(0)), machine.num_gpus());
    require_size("cost", costs.columns(), count("place", places));
    require_size("cost", costs.rows(), by_home ? num_nodes : num_experts);
    for (const double one : costs.all()) require(one >= 0, "cost is below 0, or no number.");
  }
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
  const Homes homes{view(share), view(home), view(node), places,   costs,
                    by_home,     price,      most,       anchored};
  const Table<const double> weights(weight.data(), num_experts, parts.columns());
  if constexpr (std::is_same_v<Search, TopologySearch>) {
    const annealing::Scenarios scenarios{weights, shares, worst};
    return std::make_unique<Search>(machine, scenarios, parts, homes, view(slots), chance);
  } else {
    return std::make_unique<Search>(machine, weights, homes, view(slots), chance, fill...);
  }
}

// Pairs take two slots on every GPU.
std::unique_ptr<PairedSearch> make_paired_search(
    const Machine& machine, const Row<const double>& share, const Row<const Index>& home,
    const Row<const Index>& node, double price, double most, bool anchored,
    const Row<const Index>& slots, const Chance& chance,
    const std::optional<Matrix<const double>>& cost, const std::optional<Row<const Index>>& place,
    bool by_home) {
  for (Index gpu = 0; gpu < machine.num_gpus(); ++gpu) {
    require(machine.end(gpu) - machine.begin(gpu) == 2, "A GPU has not two slots.");
  }
  require(!machine.apart(), "PairedSearch lets replicas of an expert share a GPU.");
  if (place.has_value()) {
    require(std::ranges::equal(view(*place), view(node)), "PairedSearch takes nodes as places.");
  }
  return make_search<PairedSearch>(machine, share, home, node, price, most, anchored, slots, chance,
                                   cost, place, by_home, std::nullopt, std::nullopt, false, annealing::Pairs());
}

// Nodes are packed later, so that their GPUs have the same number of slots.
std::unique_ptr<PackedSearch> make_packed_search(
    const Machine& machine, const Row<const double>& share, const Row<const Index>& home,
    const Row<const Index>& node, double price, double most, bool anchored,
    const Row<const Index>& slots, const Chance& chance,
    const std::optional<Matrix<const double>>& cost, const std::optional<Row<const Index>>& place,
    bool by_home, double heavy, double ceiling) {
  const Index slots_per_gpu = machine.end(0) - machine.begin(0);
  for (Index gpu = 0; gpu < machine.num_gpus(); ++gpu) {
    require(machine.end(gpu) - machine.begin(gpu) == slots_per_gpu,
            "GPUs have different numbers of slots.");
  }
  require(!machine.apart(), "PackedSearch lets replicas of an expert share a GPU.");
  require(heavy >= 0 && ceiling >= 0, "heavy or ceiling is below 0, or no number.");
  if (place.has_value()) {
    require(std::ranges::equal(view(*place), view(node)), "PackedSearch takes nodes as places.");
  }
  return make_search<PackedSearch>(machine, share, home, node, price, most, anchored, slots, chance,
                                   cost, place, by_home, std::nullopt, std::nullopt, false,
                                   annealing::Packs(slots_per_gpu, heavy, ceiling));
}

template <typename Search>
void restart(Search& search, const Row<const Index>& slots, const Row<const Index>& home) {
  const Index num_experts = search.placement().num_experts();
  require_placement(slots, search.placement().num_slots(), num_experts);
  require_size("home", static_cast<Index>(home.shape(0)), num_experts);
  require_indices("home", view(home), search.traffic().nodes().num());
  search.restart(view(slots), view(home));
}

template <typename Search>
void anneal(Search& search, int doublings, double temperature, Index transfers, Index near,
            Index homeward, Index settling, Index slices, double seconds) {
  require_doublings(doublings);
  const Deadline deadline = deadline_after(seconds);
  nb::gil_scoped_release unlocked;
  search.anneal({doublings, temperature, transfers, near, homeward, settling}, slices, deadline);
}

template <typename Search, typename Make, typename... Extra>
void bind_search(nb::module_& chapter, const char* name, Make make, const char* text,
                 const Extra&... extra) {
  nb::class_<Search>(chapter, name, text)
      .def(nb::new_(make), nb::arg("machine"), nb::arg("share"), nb::arg("home"),
           nb::arg("node"), nb::arg("price"), nb::arg("most"), nb::arg("anchored"),
           nb::arg("slots"), nb::arg("chance"), nb::arg("cost") = nb::none(),
           nb::arg("place") = nb::none(), nb::arg("by_home") = true, extra...)
      .def("restart", &restart<Search>, nb::arg("slots"), nb::arg("home"),
           "Go on from another plan, with other homes; the best plan is kept.")
      .def("anneal", &anneal<Search>, nb::arg("doublings"), nb::arg("temperature"), nb::arg("transfers"),
           nb::arg("near"), nb::arg("homeward"), nb::arg("settling"), nb::arg("slices"), nb::arg("seconds"),
           "So many slices of 256 swaps and copy transfers, fewer where the seconds are over.\n\n"
           "The norm's p is 2**doublings; `temperature` is in units of the objective. Of 1024\n"
           "proposals `transfers` are copy transfers; of these `settling` give an expert a\n"
           "replica at a cheap place, by default its home. Of the swaps `near` are within a node, and\n"
           "`homeward` of the others bring an expert to such a place.")
      .def_prop_ro("best", &Search::best, "The best plan's objective.")
      .def("plan", [](const Search& search) { return copy_of(search.best_slots()); },
           "The best plan, int64 [num_slots].")
      .def_prop_ro("largest_load", [](Search& search) { return search.largest_load(); },
                   "The largest GPU load now, relative to the mean.")
      .def_prop_ro("away", &Search::away,
                   "The mean cost of an assignment now: the part served away from home by default.");
}

}  // namespace

void add_topology(nb::module_& chapter) {
  bind_search<TopologySearch>(
      chapter, "TopologySearch", &make_search<TopologySearch>,
      "Annealing of one layer for its largest GPU load plus a price on what is served off home.\n\n"
      "`share` (float64 [num_experts]) is each expert's part of all tokens, `home` (int64\n"
      "[num_experts]) its home node, and `node` (int64 [num_gpus], ascending from 0) the node of\n"
      "each GPU. The objective is the largest load over the mean, plus `price` times the mean cost\n"
      "of an assignment, which is at most `most`. With `anchored` every expert keeps a replica at\n"
      "home. `slots` (int64 [num_slots]) is the plan to start from.\n\n"
      "An assignment costs `cost` (float64 [num_rows, num_places]) at the place of the GPU that\n"
      "serves it, `place` (int64 [num_gpus], ascending from 0), in the row of its expert's home or,\n"
      "where `by_home` is False, of its expert. Without them it costs 0 at home and 1 elsewhere.\n\n"
      "With several loads `part` (float64 [num_experts, num_scenarios]) has each expert's part in\n"
      "each, `scenario` (float64 [num_scenarios]) what each counts, and `share` the parts so\n"
      "weighted. With `worst` the objective is the largest of the loads' instead, and `most` holds\n"
      "for each of them.",
      nb::arg("part") = nb::none(), nb::arg("scenario") = nb::none(), nb::arg("worst") = false);
  bind_search<PairedSearch>(
      chapter, "PairedSearch", &make_paired_search,
      "`TopologySearch` where all GPUs have two slots and replicas of an expert may share one.\n\n"
      "It decides which replicas stand on a node; there the heaviest shares a GPU with the\n"
      "lightest, and so on, which no other pairs beat. `near` counts for nothing.");
  bind_search<PackedSearch>(
      chapter, "PackedSearch", &make_packed_search,
      "`PairedSearch` for GPUs of equally many slots, whose nodes are to be packed afterwards.\n\n"
      "A GPU's load is taken for the mean of its node. But a replica of more than `heavy` mean loads\n"
      "has a GPU without another such one, and shares it with no less than the node's lightest. What\n"
      "replicas have above `ceiling` mean loads is added to the objective, `best`, which is that of\n"
      "nodes that could be packed so; `plan` packs them greedily.",
      nb::arg("heavy") = 0.5, nb::arg("ceiling") = 1.0);
}

}  // namespace eplb::bind
