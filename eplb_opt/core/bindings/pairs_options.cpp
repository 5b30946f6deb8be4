#include <algorithm>

#include "bindings/pairs_parts.hpp"
#include "pairs/ascent.hpp"
#include "pairs/prover.hpp"
#include "pairs/rows.hpp"

namespace eplb::bind {

namespace {

using pairs::Level;
using pairs::Rows;

NumpyRow<std::int64_t> widened(const std::vector<std::int32_t>& column) {
  return to_numpy(std::vector<std::int64_t>(column.begin(), column.end()));
}

std::optional<Level> list_options(const pairs::Layer& layer, const nb::int_& level) {
  return Level::of(layer, level_in_range(level));
}

Level keep(const Level& level, const Row<const bool>& mask) {
  require_size("mask", std::ssize(view(mask)), level.options.size());
  std::vector<std::int32_t> kept;
  for (std::int32_t option = 0; option < level.options.size(); ++option) {
    if (view(mask)[option]) kept.push_back(option);
  }
  for (Index expert = 0; expert < level.options.num_experts(); ++expert) {
    const auto own = view(mask).subspan(
        level.options.first[expert],
        level.options.first[expert + 1] - level.options.first[expert]);
    require(std::ranges::find(own, true) != own.end(), "an expert has no option left.");
  }
  Level left{{}, level.threshold};
  left.options.select(level.options, kept);
  return left;
}

Rows rows_of(const Level& level) {
  Rows rows;
  rows.build(level.options, std::ssize(level.threshold));
  return rows;
}

NumpyRow<std::int64_t> need(const Level& level) {
  const Rows rows = rows_of(level);
  return to_numpy(std::vector(rows.need().begin(), rows.need().end()));
}

std::pair<std::int64_t, NumpyRow<std::int64_t>> prove(const Level& level, const Integers& price) {
  const Rows rows = rows_of(level);
  require_size("price", std::ssize(view(price)), rows.size());
  for (Index row = 0; row < rows.size(); ++row) {
    const std::int64_t of_row = view(price)[row];
    require(of_row >= 0 && of_row <= (std::int64_t{1} << 30), "a price is not in 0..2**30.");
    require(of_row == 0 || rows.need()[row] > 0, "a row without need has a price.");
  }
  std::vector<std::int64_t> excess(level.options.size());
  const std::int64_t value = pairs::Prover().prove(level.options, rows, view(price), excess);
  return {value, to_numpy(std::move(excess))};
}

std::tuple<double, NumpyRow<double>, NumpyRow<double>> climb(const Level& level,
                                                             const Numbers& running, double slots,
                                                             Index steps) {
  const Rows rows = rows_of(level);
  require_running(view(running), rows.size());
  std::vector<double> sums(1, 0.0), weight(level.options.size());
  sums.insert(sums.end(), view(running).begin(), view(running).end());
  pairs::Ascent ascent;
  ascent.take_all(level.options, rows);
  const double value = ascent.climb(slots, steps, sums, weight);
  sums.erase(sums.begin());
  return {value, to_numpy(std::move(sums)), to_numpy(std::move(weight))};
}

}  // namespace

void add_pairs_options(nb::module_& chapter) {
  nb::class_<Level>(chapter, "Options",
                    "The counts that a plan of at most a level can have, experts in their order,\n"
                    "and the balance rows over them.")
      .def_prop_ro("first", [](const Level& self) { return widened(self.options.first); },
                   kOwned, "int64 [num_experts + 1], where each expert's options begin.")
      .def_prop_ro("count", [](const Level& self) { return widened(self.options.count); },
                   kOwned, "int64 [num_options], replicas.")
      .def_prop_ro("change", [](const Level& self) { return widened(self.options.change); },
                   kOwned, "int64 [num_options], +count for small replicas, -count for big ones.")
      .def_prop_ro("rank", [](const Level& self) { return widened(self.options.rank); },
                   kOwned, "int64 [num_options], the rows below it hold the option's replicas.")
      .def_prop_ro("threshold", &thresholds, "Keys in units, ascending, one a row.")
      .def("keep", &keep, nb::arg("mask").noconvert(), "Those under a mask, bool [num_options].")
      .def("need", &need, "What the tightened rows need, int64 [num_rows].")
      .def("prove", &prove, nb::arg("price").noconvert(),
           "A bound on the replicas of any plan, and what each option costs more than its\n"
           "expert's cheapest, int64 [num_options]; both in 2**-24 replicas, as the prices.")
      .def("climb", &climb, nb::arg("running").noconvert(), nb::arg("slots"), nb::arg("steps"),
           "A dual ascent: the bound in replicas, the running sums of the prices, float64\n"
           "[num_rows], and how often each option was its expert's cheapest.");
  chapter.def("list_options", &list_options, nb::arg("layer"), nb::arg("level"),
              "All options at a level; None where the fewest replicas exceed the slots.");
}

}  // namespace eplb::bind
