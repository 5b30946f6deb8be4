#include <nanobind/stl/unique_ptr.h>

#include "annealing/loss_search.hpp"
#include "annealing/scenario_search.hpp"
#include "bindings/annealing_arguments.hpp"
#include "bindings/chapters.hpp"

namespace eplb::bind {

namespace {

using annealing::Chance;
using annealing::LossSearch;
using annealing::Machine;
using annealing::Scenarios;
using annealing::ScenarioSearch;

// How many replicas of an expert a GPU has must fit 16 bits.
constexpr Index kMostSlotsPerGpu = 65535;

void require_gpus(std::span<const double> rate, std::span<const Index> first) {
  require(!rate.empty(), "There is no GPU.");
  require_size("first", std::ssize(first), std::ssize(rate) + 1);
  require(first[0] == 0, "first does not begin with 0.");
  for (std::size_t gpu = 0; gpu < rate.size(); ++gpu) {
    require(first[gpu] < first[gpu + 1] && first[gpu + 1] - first[gpu] <= kMostSlotsPerGpu,
            "GPU " + std::to_string(gpu) + " has no slot, or too many.");
  }
}

Machine make_machine(const Row<const double>& rate, const Row<const Index>& first,
                     const Matrix<const std::int8_t>& ties, const Row<const Index>& unit,
                     Index node_size, bool apart) {
  require_gpus(view(rate), view(first));
  const Index num_slots = view(first).back(), num_gpus = static_cast<Index>(rate.shape(0));
  require_per_gpu("ties", ties, num_gpus, static_cast<Index>(ties.shape(1)));
  require(node_size >= 1 && num_slots % node_size == 0, "node_size does not divide the slots.");
  if (unit.shape(0) > 0) require_size("unit", static_cast<Index>(unit.shape(0)), num_slots);
  return Machine({view(rate), view(first)}, {view(ties), view(unit), node_size, apart});
}

Chance make_chance(const Row<const double>& thresholds, Index state) {
  require_size("thresholds", static_cast<Index>(thresholds.shape(0)), annealing::kFine);
  require(state != 0, "state is 0, from which no random number comes.");
  const auto samples = view(thresholds);
  return {{samples.begin(), samples.end()}, Random(state)};
}

std::unique_ptr<ScenarioSearch> make_scenario_search(
    const Machine& machine, const Matrix<const double>& weight, const Row<const double>& share,
    bool worst, const Row<const Index>& slots, const Matrix<const bool>& held,
    const Chance& chance) {
  const Index num_experts = static_cast<Index>(weight.shape(0));
  require_size("weight", num_experts, machine.num_experts());
  require_size("share", static_cast<Index>(share.shape(0)), static_cast<Index>(weight.shape(1)));
  require_placement(slots, machine.num_slots(), num_experts);
  require_per_gpu("held", held, machine.num_gpus(), num_experts);
  const annealing::Scenarios scenarios{view(weight), view(share), worst};
  const annealing::Start start{view(slots), view(held)};
  return std::make_unique<ScenarioSearch>(machine, scenarios, start, chance);
}

void restart(ScenarioSearch& search, const Row<const Index>& slots) {
  require_placement(slots, search.placement().num_slots(), search.placement().num_experts());
  search.restart(view(slots));
}

void anneal(ScenarioSearch& search, int doublings, double temperature, double price,
            Index transfers, Index slices, double seconds) {
  require_doublings(doublings);
  require_price(price, search.best());
  const Deadline deadline = deadline_after(seconds);
  nb::gil_scoped_release unlocked;
  search.anneal({doublings, temperature, price, transfers}, slices, deadline);
}

void anneal_mended(ScenarioSearch& search, int doublings, double temperature, Index proposals,
                   double seconds) {
  require_doublings(doublings);
  const Deadline deadline = deadline_after(seconds);
  nb::gil_scoped_release unlocked;
  search.anneal_mended(doublings, temperature, proposals, deadline);
}

NumpyRow<Index> plan(const ScenarioSearch& search, Index kept) {
  require_indices("kept", std::span<const Index>(&kept, 1), std::ssize(search.best().values()));
  return copy_of(search.best().slots(kept));
}

std::unique_ptr<LossSearch> make_loss_search(const Machine& machine,
                                             const Row<const double>& weight,
                                             const Row<const Index>& unit,
                                             const Row<const bool>& guarded,
                                             const Row<const Index>& slots, const Chance& chance) {
  const Index num_experts = static_cast<Index>(weight.shape(0));
  require_size("weight", num_experts, machine.num_experts());
  require_size("unit", static_cast<Index>(unit.shape(0)), machine.num_gpus());
  require_indices("unit", view(unit), machine.num_gpus());
  require_size("guarded", static_cast<Index>(guarded.shape(0)), num_experts);
  require_placement(slots, machine.num_slots(), num_experts);
  const annealing::Losses losses{view(weight), view(unit), view(guarded)};
  return std::make_unique<LossSearch>(machine, losses, view(slots), chance);
}

void anneal_losses(LossSearch& search, double most, int doublings, double temperature,
                   Index proposals, double seconds) {
  require_doublings(doublings);
  const Deadline deadline = deadline_after(seconds);
  nb::gil_scoped_release unlocked;
  search.anneal({most, doublings, temperature}, proposals, deadline);
}

void add_loss_search(nb::module_& chapter) {
  nb::class_<LossSearch>(
      chapter, "LossSearch",
      "Annealing of one layer for the least largest load after any single loss.\n\n"
      "`weight` (float64 [num_experts]) are loads over the mean that the largest loss leaves;\n"
      "GPUs with the same number in `unit` (int64 [num_gpus], below num_gpus) are lost together;\n"
      "experts in `guarded` (bool [num_experts]) stay in two units. `slots` (int64 [num_slots]) is\n"
      "the plan to start from.")
      .def(nb::new_(&make_loss_search), nb::arg("machine"), nb::arg("weight"), nb::arg("unit"),
           nb::arg("guarded"), nb::arg("slots"), nb::arg("chance"))
      .def("anneal", &anneal_losses, nb::arg("most"), nb::arg("doublings"),
           nb::arg("temperature"), nb::arg("proposals"), nb::arg("seconds"),
           "So many swaps and copy transfers, fewer where the seconds are over.\n\n"
           "No loss may take more than `most` tokens for good, in units of the weights; the norm's\n"
           "p is 2**doublings, and `temperature` in its units.")
      .def("restart", &LossSearch::restart, "Go on from the best plan.")
      .def_prop_ro("best", &LossSearch::best, "The best plan's largest load after any loss.")
      .def("plan", [](const LossSearch& search) { return copy_of(search.best_slots()); },
           "The best plan, int64 [num_slots].")
      .def_prop_ro("largest_load", &LossSearch::largest_load,
                   "The largest load after any loss, of the plan that the search is at.")
      .def_prop_ro("most_taken", &LossSearch::most_taken,
                   "The most tokens that one loss takes for good now, in units of the weights.");
}

void add_arguments(nb::module_& chapter) {
  nb::class_<Machine>(chapter, "Machine",
                      "The GPUs of one layer that have slots, and what may stand on them.\n\n"
                      "`rate` (float64 [num_gpus]) is what a GPU's load is multiplied by, 1 over its\n"
                      "speed; `first` (int64 [num_gpus + 1]) the first slot of each, and the end of\n"
                      "the last. `ties` (int8 [num_gpus, num_experts], or no rows) holds 1 where the\n"
                      "expert must not stand on the GPU and 2 where it must; `unit` (int64\n"
                      "[num_slots], or empty) the GPU or node of which every expert needs two.\n"
                      "No replica leaves its node of `node_size` slots; with `apart` no expert\n"
                      "stands twice on a GPU.")
      .def(nb::new_(&make_machine), nb::arg("rate"), nb::arg("first"), nb::arg("ties"),
           nb::arg("unit"), nb::arg("node_size"), nb::arg("apart"));
  nb::class_<Chance>(chapter, "Chance",
                     "Where the randomness of a search comes from.\n\n"
                     "`thresholds` (float64 [1024]) are samples of the exponential distribution;\n"
                     "`state`, not 0, is what the random numbers begin with.")
      .def(nb::new_(&make_chance), nb::arg("thresholds"), nb::arg("state"));
}

void add_scenario_search(nb::module_& chapter) {
  nb::class_<ScenarioSearch>(
      chapter, "ScenarioSearch",
      "Annealing of one layer under several loads.\n\n"
      "`weight` (float64 [num_experts, num_scenarios]) are loads over the mean GPU load of their\n"
      "scenario, `share` (float64 [num_scenarios]) is what each scenario counts; with `worst` the\n"
      "worst one counts instead. `slots` (int64 [num_slots]) is the plan to start from, and `held`\n"
      "(bool [num_gpus, num_experts], or no rows) what the plan in force has on a GPU: then the\n"
      "best plan is kept for every number of moved slots.")
      .def(nb::new_(&make_scenario_search), nb::arg("machine"), nb::arg("weight"),
           nb::arg("share"), nb::arg("worst"), nb::arg("slots"), nb::arg("held"),
           nb::arg("chance"))
      .def("restart", &restart, nb::arg("slots"),
           "Go on from another plan; the best ones are kept.")
      .def("anneal", &anneal, nb::arg("doublings"), nb::arg("temperature"), nb::arg("price"),
           nb::arg("transfers"), nb::arg("slices"), nb::arg("seconds"),
           "So many slices of 256 swaps and copy transfers, fewer where the seconds are over.\n\n"
           "The norm's p is 2**doublings; `temperature` and `price`, of a moved slot, are in units\n"
           "of the objective; `transfers` of 1024 proposals are copy transfers.")
      .def("anneal_mended", &anneal_mended, nb::arg("doublings"), nb::arg("temperature"),
           nb::arg("proposals"), nb::arg("seconds"),
           "So many copy transfers, each with the swaps that mend what it spoils.")
      .def_prop_ro("largest_load", &ScenarioSearch::largest_load,
                   "The largest GPU load now, relative to the mean.")
      .def_prop_ro("best", &ScenarioSearch::least, "The best objective with any number of moves.")
      .def("values", [](const ScenarioSearch& search) {
        return copy_of(search.best().values());
      }, "The best objective with each number of moved slots, float64 [num_slots + 1] or [1].")
      .def("plan", &plan, nb::arg("kept"),
           "The plan of that entry of `values`, int64 [num_slots].");
}

}  // namespace

void add_annealing(nb::module_& chapter) {
  add_arguments(chapter);
  add_scenario_search(chapter);
  add_loss_search(chapter);
  add_design(chapter);
  add_topology(chapter);
  add_shares(chapter);
}

}  // namespace eplb::bind
