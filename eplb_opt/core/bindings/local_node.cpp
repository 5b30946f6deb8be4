#include "bindings/local_node.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>

#include "local/kicks.hpp"
#include "local/node_search.hpp"
#include "local/renew.hpp"
#include "local/scan.hpp"

namespace eplb::bind {

namespace {

using local::NodeSearch;
using Slots = Row<const std::int64_t>;

// Sums of loads and a few times that stay far from the end of int64, and are exact as float64.
constexpr std::int64_t kMaxTotal = std::int64_t{1} << 52;

NumpyRow<std::int64_t> copied(std::span<const std::int64_t> values) {
  return to_numpy(std::vector<std::int64_t>(values.begin(), values.end()));
}

std::optional<NumpyRow<std::int64_t>> counts_if(bool fits, const local::Counts& counts) {
  if (!fits) return std::nullopt;
  return copied(counts.counts());
}

void make_node_search(NodeSearch* self, const Row<const std::int64_t>& weights, const Slots& slots,
                      Index num_gpus, bool apart, std::int64_t seed) {
  local::Node node = checked_node(view(weights), view(slots), num_gpus, apart);
  new (self) NodeSearch(std::move(node), view(slots), seed);
}

void require_gpu(const NodeSearch& self, Index gpu) {
  require_indices("gpus", std::span(&gpu, 1), self.node().num_gpus);
}

Index advance(NodeSearch& self, Index steps, std::int64_t target, bool only_exchange) {
  require_load("target", target);
  nb::gil_scoped_release unlocked;
  return self.advance(steps, {target, only_exchange}, Deadline::never()).steps;
}

void restart(NodeSearch& self, const Slots& slots) {
  require_plan(view(slots), self.node());
  self.restart(view(slots));
}

Index exchange(NodeSearch& self, Index gpu) {
  require_gpu(self, gpu);
  return self.exchange(gpu);
}

bool redeal(NodeSearch& self, Index heavy, Index second, Index third) {
  for (const Index gpu : {heavy, second, third}) require_gpu(self, gpu);
  require(heavy != second && heavy != third && second != third, "the GPUs are three.");
  const local::Plan& plan = self.plan();
  require(plan.load(heavy) >= std::max(plan.load(second), plan.load(third)),
          "the first GPU is the heaviest of the three.");
  const local::Deals& deals = local::Deals::of(self.node().slots_per_gpu);
  return local::redeal(self.plan(), deals, heavy, second, third);
}

bool renew(NodeSearch& self, std::int64_t bound) {
  require_load("bound", bound);
  const local::Experts now = self.plan().slots();
  std::vector<std::int64_t> slots(now.begin(), now.end());
  const bool found = local::renew(self.node(), bound, self.random(), slots);
  if (found) self.restart(slots);
  return found;
}

std::optional<NumpyRow<std::int64_t>> fit_counts(const NodeSearch& self, std::int64_t target,
                                                 std::int64_t ceiling) {
  require_load("target", target);
  require(target >= 1, "target is at least 1.");
  local::Counts counts(self.node());
  const Index spare = counts.keep_below(target);
  for (Index i = 0; i < spare; ++i) counts.give_spare(ceiling);
  return counts_if(spare >= 0, counts);
}

std::optional<NumpyRow<std::int64_t>> draw_counts(NodeSearch& self, std::int64_t target) {
  require_load("target", target);
  require(target >= 1, "target is at least 1.");
  local::Counts counts(self.node());
  const bool fits = local::draw_counts(target, self.random(), counts);
  return counts_if(fits, counts);
}

std::vector<NumpyRow<std::int64_t>> scan_counts(const NodeSearch& self, std::int64_t bound,
                                                Index keep) {
  require_load("bound", bound);
  require(keep >= 0, "keep is not negative.");
  std::vector<NumpyRow<std::int64_t>> plans;
  for (std::vector<std::int64_t>& slots : local::scan_counts(self.node(), bound, keep)) {
    plans.push_back(to_numpy(std::move(slots)));
  }
  return plans;
}

std::vector<std::pair<std::int64_t, std::vector<Index>>> sorted_subsets(NodeSearch& self, Index gpu,
                                                                         Index size) {
  require_gpu(self, gpu);
  const local::SortedSubsets& sorted = self.sorted_subsets(gpu);
  require(size >= 1 && size <= sorted.num_sizes(), "there are no subsets of that size.");
  const local::SubsetOrder order = sorted.order(gpu, size - 1);
  std::vector<std::pair<std::int64_t, std::vector<Index>>> found;
  for (std::size_t i = 0; i < order.sums.size(); ++i) {
    found.emplace_back(order.sums[i], std::vector<Index>());
    for (local::Places left = order.places[i]; !left.empty(); left = left.rest()) {
      found.back().second.push_back(left.first());
    }
  }
  return found;
}

}  // namespace

local::Node checked_node(std::span<const std::int64_t> weights, std::span<const std::int64_t> slots,
                         Index num_gpus, bool apart) {
  const Index num_slots = std::ssize(slots);
  require(num_gpus >= 1 && num_slots >= 1, "a node has at least one GPU and one slot.");
  require(num_slots % num_gpus == 0, "the slots do not divide among the GPUs.");
  require(num_slots / num_gpus <= local::kMaxSlotsPerGpu, "a GPU has more than 2**15 slots.");
  std::int64_t total = 0;
  for (const std::int64_t weight : weights) {
    require(weight >= 0 && weight <= kMaxTotal, "a weight is not in 0..2**52.");
    total += weight;
    require(total <= kMaxTotal, "the weights add up to more than 2**52.");
  }
  local::Node node{{weights.begin(), weights.end()}, num_gpus, num_slots / num_gpus, apart};
  require_plan(slots, node);
  return node;
}

void require_plan(std::span<const std::int64_t> slots, const local::Node& node) {
  require_size("slots", std::ssize(slots), node.num_slots());
  require_indices("slots", slots, node.num_experts());
  std::vector<char> is_placed(node.num_experts());
  for (const std::int64_t expert : slots) is_placed[expert] = true;
  require(std::ranges::find(is_placed, 0) == is_placed.end(), "slots hold not every expert.");
}

void require_load(const char* name, std::int64_t load) {
  require(load >= 0 && load <= kMaxTotal, std::string(name) + " is not in 0..2**52.");
}

void add_node_search(nb::module_& chapter) {
  constexpr auto owned = nb::rv_policy::automatic;  // the array is a copy, no part of the search
  nb::class_<NodeSearch>(chapter, "NodeSearch", "The search on one node, move by move.")
      .def("__init__", &make_node_search, nb::arg("weights"), nb::arg("slots"), nb::arg("num_gpus"),
           nb::arg("apart"), nb::arg("seed"),
           "`weights` is int64 [num_experts], fixed-point loads; `slots` int64 [num_slots], the plan\n"
           "to start from.")
      .def("advance", &advance, nb::arg("steps"), nb::arg("target"),
           nb::arg("only_exchange") = false,
           "Take steps; returns how many, fewer where it stopped by itself.")
      .def("restart", &restart, nb::arg("slots"), "Go on from another plan; the best one is kept.")
      .def("exchange", &exchange, nb::arg("gpu"),
           "The best exchange that lowers a GPU's load; returns the other GPU, or -1.")
      .def("redeal", &redeal, nb::arg("heavy"), nb::arg("second"), nb::arg("third"),
           "Deal three GPUs' replicas out anew; returns whether their largest load fell.")
      .def(
          "transfer",
          [](NodeSearch& self, std::int64_t ceiling) {
            return local::transfer(self.plan(), ceiling, self.random());
          },
          nb::arg("ceiling"), "Give a random slot to another expert; returns whether it could.")
      .def(
          "shuffle",
          [](NodeSearch& self, Index swaps) { local::shuffle(self.plan(), swaps, self.random()); },
          nb::arg("swaps"), "Swap random pairs of replicas.")
      .def("renew", &renew, nb::arg("bound"),
           "Go on from counts drawn at random; returns whether a plan was found.")
      .def("fit_counts", &fit_counts, nb::arg("target"), nb::arg("ceiling"),
           "Counts whose replicas are at or below the target, int64 [num_experts], or None.")
      .def("draw_counts", &draw_counts, nb::arg("target"),
           "Counts at or below the target under ceilings drawn, int64 [num_experts], or None.")
      .def("scan_counts", &scan_counts, nb::arg("bound"), nb::arg("keep"),
           "The best greedy packings over a range of counts, int64 [num_slots] each.")
      .def("sorted_subsets", &sorted_subsets, nb::arg("gpu"), nb::arg("size"),
           "Sum and places of a GPU's subsets of one size, ascending.")
      .def_prop_ro("slots", [](NodeSearch& self) { return copied(self.plan().slots()); }, owned)
      .def_prop_ro("sizes", [](NodeSearch& self) { return copied(self.plan().sizes()); }, owned)
      .def_prop_ro("loads", [](NodeSearch& self) { return copied(self.plan().loads()); }, owned)
      .def_prop_ro("counts", [](NodeSearch& self) { return copied(self.plan().counts()); }, owned)
      .def_prop_ro("best_slots", [](NodeSearch& self) { return copied(self.best_slots()); }, owned)
      .def_prop_ro("best", &NodeSearch::best, "The largest load of the best plan.");
}

}  // namespace eplb::bind
