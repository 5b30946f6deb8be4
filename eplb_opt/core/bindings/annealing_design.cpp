#include <nanobind/stl/unique_ptr.h>

#include "annealing/design_search.hpp"
#include "bindings/annealing_arguments.hpp"
#include "bindings/chapters.hpp"

namespace eplb::bind {

namespace {

using annealing::Chance;
using annealing::DesignSearch;
using annealing::DesignTask;
using annealing::Machine;

// What a design is made for, with arrays of its own.
struct Loads {
  std::vector<double> weight, heaviest;
  Index num_experts, num_loads;
  bool worst;
  double slack;
};

Loads make_loads(const Matrix<const double>& weight, bool worst, const Row<const double>& heaviest,
                 double slack) {
  const auto table = view(weight);
  require(table.columns() >= 1, "There is no load.");
  require_size("heaviest", static_cast<Index>(heaviest.shape(0)), table.rows());
  const auto rows = table.all();
  const auto known = view(heaviest);
  return {{rows.begin(), rows.end()}, {known.begin(), known.end()},
          table.rows(),               table.columns(),
          worst,                      slack};
}

std::unique_ptr<DesignSearch> make_search(const Machine& machine, const Loads& loads,
                                          const Row<const Index>& slots,
                                          const Matrix<const bool>& held, const Chance& chance) {
  require(machine.apart(), "A design's machine keeps the copies of an expert apart.");
  require_size("weight", loads.num_experts, machine.num_experts());
  require_placement(slots, machine.num_slots(), loads.num_experts);
  require_per_gpu("held", held, machine.num_gpus(), loads.num_experts);
  const Table<const double> weight(loads.weight.data(), loads.num_experts, loads.num_loads);
  const DesignTask task{weight, loads.worst, loads.heaviest, loads.slack};
  const annealing::Start start{view(slots), view(held)};
  return std::make_unique<DesignSearch>(machine, task, start, chance);
}

void set_shares(DesignSearch& search, const Row<const double>& share) {
  require_size("share", static_cast<Index>(share.shape(0)), search.num_loads());
  search.set_shares(view(share));
}

void change_loads(DesignSearch& search, const Matrix<const double>& weight) {
  require_size("weight", static_cast<Index>(weight.shape(0)), search.placement().num_experts());
  require_size("weight", static_cast<Index>(weight.shape(1)), search.num_loads());
  nb::gil_scoped_release unlocked;
  search.change_loads(view(weight));
}

void restart(DesignSearch& search, const Row<const Index>& slots) {
  require_placement(slots, search.placement().num_slots(), search.placement().num_experts());
  nb::gil_scoped_release unlocked;
  search.restart(view(slots));
}

void anneal(DesignSearch& search, int doublings, double temperature, double price, Index transfers,
            Index proposals, double seconds) {
  require_doublings(doublings);
  require_price(price, search.best());
  nb::gil_scoped_release unlocked;
  search.anneal({doublings, temperature, price, transfers}, proposals, Deadline::after(seconds));
}

NumpyRow<Index> plan(const DesignSearch& search, Index kept) {
  require_indices("kept", std::span<const Index>(&kept, 1), std::ssize(search.best().values()));
  return copy_of(search.best().slots(kept));
}

NumpyMatrix<double> copy_of_table(const LaneTable& table) {
  std::vector<double> values;
  for (Index row = 0; row < table.rows(); ++row) {
    for (Index column = 0; column < table.columns(); ++column) {
      values.push_back(table(row, column));
    }
  }
  return to_numpy(std::move(values), table.rows(), table.columns());
}

}  // namespace

void add_design(nb::module_& chapter) {
  nb::class_<Loads>(chapter, "DesignLoads",
                    "What a design is made for.\n\n"
                    "`weight` (float64 [num_experts, num_loads]) are loads over the mean GPU load;\n"
                    "with `worst` the worst of them counts instead of their weighted mean. A copy\n"
                    "goes from one expert to another only where the former's replicas are then at\n"
                    "most `slack` times as heavy as the latter's are now, by `heaviest` (float64\n"
                    "[num_experts]).")
      .def(nb::new_(&make_loads), nb::arg("weight"), nb::arg("worst"), nb::arg("heaviest"),
           nb::arg("slack"));
  nb::class_<DesignSearch>(
      chapter, "DesignSearch",
      "Annealing of a placement for optimal dispatch.\n\n"
      "`slots` (int64 [num_slots]) is the plan to start from, and `held` (bool [num_gpus,\n"
      "num_experts], or no rows) what the plan in force has on a GPU: then the best plan is kept\n"
      "for every number of moved slots. The loads count nothing before `set_shares`.")
      .def(nb::new_(&make_search), nb::arg("machine"), nb::arg("loads"), nb::arg("slots"),
           nb::arg("held"), nb::arg("chance"))
      .def("set_shares", &set_shares, nb::arg("share"), "What each load counts, float64 [num_loads].")
      .def("change_loads", &change_loads, nb::arg("weight"),
           "Other loads; every expert keeps the parts of its split.")
      .def("restart", &restart, nb::arg("slots"), "Go on from another plan; the best ones are kept.")
      .def("anneal", &anneal, nb::arg("doublings"), nb::arg("temperature"), nb::arg("price"),
           nb::arg("transfers"), nb::arg("proposals"), nb::arg("seconds"),
           "So many swaps and copy transfers, fewer where the seconds are over, between two looks.\n\n"
           "The norm's p is 2**doublings; `temperature` and `price`, of a moved slot, are in units\n"
           "of the objective; `transfers` of 1024 proposals are copy transfers.")
      .def("forget_best", &DesignSearch::forget_best,
           "Forget the values of the best plans; the plans stay until better ones come.")
      .def("peaks", [](const DesignSearch& search) { return to_numpy(search.peaks()); },
           "The largest GPU load under each load, float64 [num_loads].")
      .def("values", [](const DesignSearch& search) {
        return copy_of(search.best().values());
      }, "The best objective with each number of moved slots, float64 [num_slots + 1] or [1].")
      .def("plan", &plan, nb::arg("kept"),
           "The plan of that entry of `values`, int64 [num_slots].")
      .def("slots", [](const DesignSearch& search) {
        return copy_of(search.placement().slots());
      }, "The plan at present, int64 [num_slots].")
      .def("flow", [](const DesignSearch& search) { return copy_of_table(search.flows().flow()); },
           "What each slot gets under each load, float64 [num_slots, num_loads].")
      .def("load", [](const DesignSearch& search) { return copy_of_table(search.flows().load()); },
           "What each GPU gets times its rate, float64 [num_gpus, num_loads].");
}

}  // namespace eplb::bind
