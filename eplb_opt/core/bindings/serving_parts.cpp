// The parts of the serving path one by one, so that each can be held against something simpler.
#include <nanobind/stl/tuple.h>

#include "bindings/arrays.hpp"
#include "bindings/numbers.hpp"
#include "bindings/weights.hpp"
#include "greedy/loads.hpp"
#include "serving/fixed_point.hpp"
#include "serving/node_search.hpp"
#include "serving/partition.hpp"
#include "serving/sweep.hpp"

namespace eplb::bind {

namespace {

using IntRow = Row<const std::int64_t>;
using IntMatrix = Matrix<const std::int64_t>;

std::tuple<NumpyMatrix<std::int64_t>, NumpyRow<double>> fixed_point(const Numbers& weight) {
  const StridedTable given = strided(weight);
  require(given.rows >= 1 && given.columns >= 1, "There are no loads.");
  const greedy::Loads loads(given);
  require(loads.summary().is_sound(), "Loads are finite and not negative.");
  serving::require_exact(given, loads.totals());
  serving::FixedLoads fixed = serving::fixed_point(given, loads.totals());
  return {to_numpy(std::move(fixed.weights), given.rows, given.columns),
          to_numpy(std::move(fixed.unit))};
}

NumpyMatrix<std::int64_t> lightest_partition(const IntMatrix& weights, Index num_groups,
                                             Index num_nodes) {
  const Table<const std::int64_t> given = view(weights);
  require(num_groups >= 1 && num_groups <= serving::kMostGroups && num_nodes >= 1,
          "There are 1 to 12 groups, and at least one node.");
  require(given.columns() % num_groups == 0 && num_groups % num_nodes == 0,
          "Groups divide the experts, and nodes the groups.");
  for (Index layer = 0; layer < given.rows(); ++layer) require_weights(given[layer]);
  const serving::FixedLoads loads{{given.all().begin(), given.all().end()},
                                  std::vector<double>(given.rows(), 1.0), given.columns()};
  return to_numpy(serving::lightest_partition(loads, num_groups, num_nodes),
                  given.rows() * num_nodes, given.columns() / num_nodes);
}

// A search that owns what it works on.
class BoundSearch {
 public:
  BoundSearch(const IntRow& placed, const IntRow& weight, Index num_gpus)
      : shape_(checked(placed, weight, num_gpus)),
        weight_(weight.data(), weight.data() + weight.shape(0)),
        memory_(2 * shape_.plan_size()),
        scratch_(shape_),
        search_(shape_, view(placed), weight_, memory_.data()) {}

  std::vector<std::int64_t> numbers(std::span<std::int64_t> serving::Plan::*part) const {
    const std::span<std::int64_t> numbers = search_.plan().*part;
    return {numbers.begin(), numbers.end()};
  }
  std::int64_t reached() const { return search_.reached(); }
  std::int64_t total() const { return search_.total(); }
  int dropped_bits() const { return search_.dropped_bits(); }

  void step(std::int64_t target) {
    require_target(target);
    search_.step(target, scratch_);
  }
  void sweep() { serving::sweep(search_.plan(), scratch_.order); }
  bool exchange(std::int64_t target) {
    require_target(target);
    return scratch_.exchange.one_for_one(search_.plan(), target, search_.dropped_bits());
  }

 private:
  static void require_target(std::int64_t target) {
    require(target >= 0 && target <= std::int64_t{1} << 62, "target is not in 0..2**62.");
  }
  static serving::NodeShape checked(const IntRow& placed, const IntRow& weight, Index num_gpus) {
    const Index num_slots = std::ssize(view(placed)), num_experts = std::ssize(view(weight));
    require(num_gpus >= 1 && num_slots >= 1 && num_slots % num_gpus == 0,
            "GPUs divide the slots, and there is one of each at least.");
    require_indices("placed", view(placed), num_experts);
    require_weights(view(weight));
    return {num_slots, num_gpus, num_experts};
  }

  serving::NodeShape shape_;
  std::vector<std::int64_t> weight_, memory_;
  serving::Scratch scratch_;
  serving::NodeSearch search_;
};

}  // namespace

void add_serving_parts(nb::module_& chapter) {
  chapter.def("fixed_point", &fixed_point, nb::arg("weight"),
              "Loads as integers below 2**58 a layer, int64 [num_layers, num_experts], and what one\n"
              "of them is worth, float64 [num_layers].");
  chapter.def("lightest_partition", &lightest_partition, nb::arg("weights"), nb::arg("num_groups"),
              nb::arg("num_nodes"),
              "The experts of every node, int64 [num_layers * num_nodes, experts per node], in the\n"
              "partition of groups whose heaviest node is the lightest.");
  const auto part = [](std::span<std::int64_t> serving::Plan::*member) {
    return [member](const BoundSearch& search) { return to_numpy(search.numbers(member)); };
  };
  nb::class_<BoundSearch>(chapter, "NodeSearch",
                          "The search on one node: slot k * num_gpus + g is the k-th of GPU g.")
      .def(nb::init<const IntRow&, const IntRow&, Index>(), nb::arg("placed"), nb::arg("weight"),
           nb::arg("num_gpus"),
           "From the experts of all slots, GPU after GPU, and the experts' fixed-point loads.")
      .def_prop_ro("expert", part(&serving::Plan::expert), nb::rv_policy::move, "Of every slot.")
      .def_prop_ro("size", part(&serving::Plan::size), nb::rv_policy::move,
                   "Load of every slot's replica.")
      .def_prop_ro("load", part(&serving::Plan::load), nb::rv_policy::move, "Of every GPU.")
      .def_prop_ro("count", part(&serving::Plan::count), nb::rv_policy::move,
                   "Replicas of every expert.")
      .def_prop_ro("reached", &BoundSearch::reached, "The least largest load so far.")
      .def_prop_ro("total", &BoundSearch::total, "Load of the node.")
      .def_prop_ro("dropped_bits", &BoundSearch::dropped_bits, "Bits that exchanges drop.")
      .def("step", &BoundSearch::step, nb::arg("target"),
           "One improvement of the heaviest GPU, or one kick; at `target` nothing is to gain.")
      .def("sweep", &BoundSearch::sweep, "Level the heaviest GPU with the lightest, and so on.")
      .def("exchange", &BoundSearch::exchange, nb::arg("target"),
           "The best exchange of one replica of the heaviest GPU; whether one lowers its load.");
}

}  // namespace eplb::bind
