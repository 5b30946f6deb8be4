#include <nanobind/stl/tuple.h>

#include <algorithm>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "bindings/maps.hpp"
#include "bindings/numbers.hpp"
#include "greedy/greedy.hpp"
#include "greedy/loads.hpp"

namespace eplb::bind {

namespace {

Maps rebalance(const Numbers& weight, const Sizes& sizes) {
  const StridedTable given = strided(weight);
  require(given.rows >= 1, "There are no layers.");
  const greedy::Layout layout = layout_of(given.columns, sizes);
  Buffer<std::int64_t> placed(given.rows, layout.num_slots), counts(given.rows, given.columns);
  Buffer<std::int64_t> slots;
  {
    nb::gil_scoped_release unlocked;
    const greedy::Loads loads(given);
    require(loads.summary().is_sound(), "Loads are finite, not negative, and float32 holds their sums.");
    greedy::place(loads.single(), layout, {}, placed.table(), counts.table());
    slots = listed(placed.table(), counts.table());
  }
  return to_maps(std::move(placed), std::move(slots), std::move(counts));
}

}  // namespace

void add_greedy(nb::module_& chapter) {
  chapter.def("rebalance", &rebalance, nb::arg("weight"), nb::arg("sizes"),
              "Place replicas of all experts as the published greedy does.\n\n"
              "`weight` holds real numbers [num_layers, num_experts] of any type, stride and order;\n"
              "`sizes` are slots, groups, nodes and GPUs. Returns int64 arrays: the expert of every\n"
              "slot [num_layers, num_slots], the slots of every expert [num_layers, num_experts,\n"
              "largest count] padded with -1, and the counts [num_layers, num_experts].");
}

}  // namespace eplb::bind
