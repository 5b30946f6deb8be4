#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "bindings/local_node.hpp"
#include "local/layer_search.hpp"
#include "local/packing.hpp"

namespace eplb::bind {

namespace {

constexpr std::int64_t kMaxPacked = std::int64_t{1} << 62;
// More slots than anybody has GPUs for; a packing of so many still fits into memory.
constexpr Index kMaxSlots = Index{1} << 24;

using Loads = Matrix<const std::int64_t>;


void make_layer_search(local::LayerSearch* self, const Loads& weights, const Loads& slots,
                       Index num_gpus, bool apart, std::int64_t target, std::int64_t seed) {
  require(weights.shape(0) == slots.shape(0), "weights and slots differ in their nodes.");
  require(weights.shape(0) >= 1, "a layer has at least one node.");
  require_load("target", target);
  std::vector<local::Node> nodes;
  for (Index i = 0; i < static_cast<Index>(weights.shape(0)); ++i) {
    nodes.push_back(checked_node(view(weights)[i], view(slots)[i], num_gpus, apart));
  }
  new (self) local::LayerSearch(target);
  for (Index i = 0; i < std::ssize(nodes); ++i) {
    const std::uint64_t own_seed = static_cast<std::uint64_t>(seed) + static_cast<std::uint64_t>(i);
    self->add_node(std::move(nodes[i]), view(slots)[i], static_cast<std::int64_t>(own_seed));
  }
}

void run_steps(local::LayerSearch& self, Index steps) {
  nb::gil_scoped_release unlocked;
  self.run_steps(steps);
}

void run_until(local::LayerSearch& self, double seconds) {
  require(!std::isnan(seconds), "seconds is not a number.");
  nb::gil_scoped_release unlocked;
  self.run_until(Deadline::after(std::max(seconds, 0.0)));
}

NumpyMatrix<std::int64_t> best_slots(const local::LayerSearch& self) {
  std::vector<std::int64_t> slots;
  for (Index i = 0; i < self.num_nodes(); ++i) {
    const local::Experts part = self.node(i).best_slots();
    slots.insert(slots.end(), part.begin(), part.end());
  }
  const Index num_slots = std::ssize(slots) / self.num_nodes();
  return to_numpy(std::move(slots), self.num_nodes(), num_slots);
}

NumpyRow<std::int64_t> fixed_point(const Row<const std::int64_t>& loads) {
  std::int64_t total = 0;
  for (const std::int64_t load : view(loads)) {
    require(load >= 0, "loads are not negative.");
    require(!__builtin_add_overflow(total, load, &total), "the loads add up to 2**63 or more.");
  }
  require(total > 0, "the loads are all zero.");
  return to_numpy(local::fixed_point(view(loads)));
}

// Refused are counts that do not fill the slots, and loads whose sums could overflow.
void require_counts(std::span<const std::int64_t> pieces, std::span<const std::int64_t> counts,
                    Index num_slots) {
  require_size("counts", std::ssize(counts), std::ssize(pieces));
  std::int64_t total = 0;
  Index room = num_slots;
  for (Index e = 0; e < std::ssize(pieces); ++e) {
    std::int64_t load;
    require(pieces[e] >= 0 && counts[e] >= 0, "pieces and counts are not negative.");
    require(counts[e] <= room, "counts are more than the slots.");
    room -= counts[e];
    require(!__builtin_mul_overflow(pieces[e], counts[e], &load) && load <= kMaxPacked - total,
            "the loads add up to more than 2**62.");
    total += load;
  }
  require(room == 0, "counts are fewer than the slots.");
}

std::optional<NumpyRow<std::int64_t>> pack(const Row<const std::int64_t>& pieces,
                                           const Row<const std::int64_t>& counts, Index num_gpus,
                                           Index slots_per_gpu, bool apart) {
  require(num_gpus >= 1 && slots_per_gpu >= 1, "there is at least one GPU with one slot.");
  require(num_gpus <= kMaxSlots / slots_per_gpu, "there are too many slots.");
  require_counts(view(pieces), view(counts), num_gpus * slots_per_gpu);
  nb::gil_scoped_release unlocked;
  const local::Node node{{}, num_gpus, slots_per_gpu, apart};
  local::Packing packing(node);
  const std::vector<Index> order = local::by_descending(view(pieces));
  const bool found = packing.pack(view(counts), view(pieces), order);
  nb::gil_scoped_acquire locked;
  if (!found) return std::nullopt;
  return to_numpy(std::move(packing.slot));
}

}  // namespace

void add_local(nb::module_& chapter) {
  using local::LayerSearch;
  nb::class_<LayerSearch>(chapter, "LayerSearch",
                          "Anytime search on the nodes of one layer, or on the whole of a flat one.")
      .def("__init__", &make_layer_search, nb::arg("weights"), nb::arg("slots"),
           nb::arg("num_gpus"), nb::arg("apart"), nb::arg("target"), nb::arg("seed"),
           "`weights` is int64 [num_nodes, num_experts], the loads on each node, and `slots` int64\n"
           "[num_nodes, num_slots], a plan of each in the node's own expert numbers; every node has\n"
           "`num_gpus`. `apart` forbids an expert to stand twice on a GPU. A largest load at or below\n"
           "`target` ends the search.")
      .def("run_steps", &run_steps, nb::arg("steps"),
           "Search for a number of steps, or until done; any split gives the same plan.")
      .def("run_until", &run_until, nb::arg("seconds"),
           "Search for so long, or until done; a first call ends at the first local optimum.")
      .def("best_slots", &best_slots, "The best plan, int64 [num_nodes, num_slots].")
      .def_prop_ro("best", &LayerSearch::best, "The largest load of the best plan.")
      .def_prop_ro("is_done", &LayerSearch::is_done, "Whether that is at or below the target.")
      .def_prop_ro("is_polished", &LayerSearch::is_polished,
                   "Whether the heaviest node has been at a local optimum.");
  chapter.attr("TOTAL") = local::kTotal;
  chapter.def("fixed_point", &fixed_point, nb::arg("loads"),
              "Loads scaled to add up to about TOTAL, rounded down; int64 [num_experts] both.");
  chapter.def("pack", &pack, nb::arg("pieces"), nb::arg("counts"), nb::arg("num_gpus"),
              nb::arg("slots_per_gpu"), nb::arg("apart"),
              "Longest processing time first: the largest replica to the lightest GPU with room.\n\n"
              "`pieces` and `counts` are int64 [num_experts], the size and the number of each\n"
              "expert's replicas, which fill the slots. Returns int64 [num_slots], or None where\n"
              "`apart` leaves no GPU to some replica.");
  add_node_search(chapter);
}

}  // namespace eplb::bind
