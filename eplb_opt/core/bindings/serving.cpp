#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "serving/checker.hpp"

namespace eplb::bind {

namespace {

Index first_offence(const Matrix<const std::int64_t>& placed,
                    const Matrix<const std::int64_t>& counts, Index num_groups, Index num_nodes) {
  require(placed.shape(0) == counts.shape(0), "placed and counts differ in their layers.");
  require(num_groups >= 1 && num_nodes >= 1, "num_groups and num_nodes are at least 1.");
  require(static_cast<Index>(counts.shape(1)) % num_groups == 0,
          "num_groups does not divide the experts.");
  require(static_cast<Index>(placed.shape(1)) % num_nodes == 0,
          "num_nodes does not divide the slots.");
  require(num_nodes == 1 || num_groups % num_nodes == 0, "num_nodes does not divide the groups.");
  nb::gil_scoped_release unlocked;
  return serving::first_offence(view(placed), view(counts), {num_groups, num_nodes});
}

}  // namespace

void add_serving(nb::module_& chapter) {
  chapter.def("first_offence", &first_offence, nb::arg("placed"), nb::arg("counts"),
              nb::arg("num_groups"), nb::arg("num_nodes"),
              "The first layer that breaks a law, or -1.\n\n"
              "`placed` is int64 [num_layers, num_slots], `counts` int64 [num_layers, num_experts];\n"
              "`num_groups` and `num_nodes` are 1 where the nodes constrain nothing.");
}

}  // namespace eplb::bind
