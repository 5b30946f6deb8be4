#include "bounds/least_totals.hpp"

#include <algorithm>

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

}  // namespace

void add_bounds(nb::module_& chapter) {
  chapter.def("least_totals", &least_totals, nb::arg("costs").noconvert(),
              nb::arg("totals").noconvert(),
              "Find the least total cost of each layer over all ways to share out its spare slots.\n\n"
              "`costs` is int64 [num_layers * num_experts, most + 1], from 0 to 2**62: entry c is\n"
              "what an expert costs with c slots beyond its first. Written is `totals`, int64\n"
              "[num_layers], for `most` such slots in all; 2**62 where no way costs less.");
}

}  // namespace eplb::bind
