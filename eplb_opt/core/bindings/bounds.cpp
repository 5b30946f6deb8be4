#include <algorithm>
#include <cmath>

#include "bounds/least_totals.hpp"
#include "bounds/price_ascent.hpp"

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"

namespace eplb::bind {

namespace {

void least_totals(const Matrix<const std::int64_t>& costs, const Row<std::int64_t>& totals) {
  const auto rows = view(costs);
  const auto found = view(totals);
  const Index num_layers = std::ssize(found);
  require(num_layers > 0 && rows.rows() % num_layers == 0,
          "The rows of costs are no multiple of the totals.");
  require(rows.columns() > 0, "costs has no column.");
  const Index num_experts = rows.rows() / num_layers;
  nb::gil_scoped_release unlocked;
  require(std::ranges::all_of(rows.all(),
                              [](std::int64_t cost) { return cost >= 0 && cost <= bounds::kNever; }),
          "costs holds a number below 0 or above 2**62.");
  for (Index layer = 0; layer < num_layers; ++layer) {
    const auto* first = rows.data() + layer * num_experts * rows.columns();
    found[layer] = bounds::least_total({first, num_experts, rows.columns()});
  }
}

nb::object ascend(const Row<const double>& load, const Row<const Index>& home,
                  const Row<const Index>& slots, const Row<const Index>& gpus, double price,
                  bool anchored, double least, double most, double enough, double seconds) {
  const bounds::Households asked{view(load), view(home), view(slots), view(gpus), price,
                                 anchored,   least,      most,        enough};
  const Index num_nodes = std::ssize(asked.slots);
  require(num_nodes > 0, "There is no node.");
  require_size("home", std::ssize(asked.home), std::ssize(asked.load));
  require_size("gpus", std::ssize(asked.gpus), num_nodes);
  require_indices("home", asked.home, num_nodes);
  require(std::ranges::all_of(asked.load, [](double w) { return w >= 0.0 && w < 1e9; }),
          "load holds what is not in 0..1e9.");
  require(std::ranges::all_of(asked.slots, [](Index s) { return s > 0 && s < (1 << 24); }) &&
              std::ranges::all_of(asked.gpus, [](Index g) { return g > 0 && g < (1 << 24); }),
          "slots and gpus are from 1 to 2**24.");
  require(0.0 < least && least <= most && most < 1e9, "0 < least <= most < 1e9 does not hold.");
  require(price >= 0.0 && price < 1e9, "price is not in 0..1e9.");
  std::optional<bounds::Prices> found;
  {
    nb::gil_scoped_release unlocked;
    found = bounds::ascend(asked, Deadline::after(seconds));
  }
  if (!found) return nb::none();
  return nb::make_tuple(to_numpy(std::move(found->on_slots)), to_numpy(std::move(found->on_load)),
                        found->level, to_numpy(std::move(found->count)),
                        to_numpy(std::move(found->at_home)));
}

}  // namespace

void add_bounds(nb::module_& chapter) {
  chapter.def("least_totals", &least_totals, nb::arg("costs").noconvert(),
              nb::arg("totals").noconvert(),
              "Find the least total cost of each layer over all ways to share out its spare slots.\n\n"
              "`costs` is int64 [num_layers * num_experts, most + 1], from 0 to 2**62: entry c is\n"
              "what an expert costs with c slots beyond its first. Written is `totals`, int64\n"
              "[num_layers], for `most` such slots in all; 2**62 where no way costs less.");
  chapter.def(
      "ascend", &ascend, nb::arg("load"), nb::arg("home"), nb::arg("slots"), nb::arg("gpus"),
      nb::arg("price"), nb::arg("anchored"), nb::arg("least"), nb::arg("most"), nb::arg("enough"),
      nb::arg("seconds"),
      nb::sig("def ascend(load: NDArray[numpy.float64], home: NDArray[numpy.int64], slots: "
              "NDArray[numpy.int64], gpus: NDArray[numpy.int64], price: float, anchored: bool, "
              "least: float, most: float, enough: float, seconds: float) -> "
              "tuple[NDArray[numpy.float64], NDArray[numpy.float64], float, NDArray[numpy.int64], "
              "NDArray[numpy.int64]] | None"),
      "Prices of slots and of load on nodes for one layer, by Newton's method on a smoothed dual.\n\n"
      "`load` is float64 [num_experts], relative to the mean GPU load; `home` int64 [num_experts];\n"
      "`slots` and `gpus` int64 [num_nodes]. `price` is of a share of 1 off home, and the largest\n"
      "GPU load lies between `least` and `most`. No more than `enough` need be proven, and seconds\n"
      "may be infinite. Returns prices of slots and of a mean GPU load, float64 [num_nodes] each,\n"
      "and of the program whose dual values they are: the largest load, the replicas of each\n"
      "expert, and 1 where most of those beyond the first are at home, int64 [num_experts] each.\n"
      "None where no plan has so little load, or there was no time.");
}

}  // namespace eplb::bind
