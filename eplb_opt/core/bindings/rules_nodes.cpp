#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "rules/on_nodes.hpp"

namespace eplb::bind {

namespace {

using rules::GpuRules;
using Steps = std::vector<std::vector<std::pair<double, Index>>>;
using Nodes = std::vector<std::vector<Index>>;

Index num_nodes_of(const GpuRules& rules) { return std::ranges::max(rules.unit) + 1; }

void require_layers(const GpuRules& rules, Table<const std::int64_t> load,
                    Table<const std::int64_t> of_experts, Table<std::int64_t> placed,
                    std::span<const bool> done) {
  const Index num_gpus = std::ssize(rules.open_slots);
  require_size("placed", placed.rows(), load.rows());
  require_size("of_experts", of_experts.rows(), load.rows());
  require_size("of_experts", of_experts.columns(), load.columns());
  require_size("done", std::ssize(done), load.rows());
  require(placed.columns() % num_gpus == 0, "The slots are no multiple of the GPUs.");
  require(std::ranges::max(rules.open_slots) <= placed.columns() / num_gpus,
          "open_slots holds more than the slots of a GPU.");
  const auto& slots = rules.open_slots;
  require(std::reduce(slots.begin(), slots.end()) >= load.columns() && load.columns() > 0,
          "The experts do not fit the slots.");
}

void place_at_home(const GpuRules& rules, const Matrix<const std::int64_t>& load,
                   const Matrix<const std::int64_t>& home, const Matrix<std::int64_t>& placed,
                   const Row<bool>& done) {
  const auto loads = view(load), homes = view(home);
  const auto rows = view(placed);
  const auto is_done = view(done);
  require_layers(rules, loads, homes, rows, is_done);
  require_indices("home", homes.all(), num_nodes_of(rules));
  nb::gil_scoped_release unlocked;
  rules::NodeFiller filler(rules, loads.columns());
  for (Index layer = 0; layer < loads.rows(); ++layer) {
    is_done[layer] = filler.at_home(loads[layer], homes[layer], rows[layer]);
  }
}

rules::Spread spread_of(const GpuRules& rules, const Steps& steps, const Nodes& nodes) {
  rules::Spread spread;
  for (const auto& of_count : steps) {
    auto& taken = spread.steps.emplace_back();
    for (const auto& [worth, size] : of_count) {
      require(size > 0, "A step adds no replica.");
      taken.push_back({worth, size});
    }
  }
  for (Index count = 0; count < std::ssize(nodes); ++count) {
    const auto& wanted = nodes[count];
    if (!wanted.empty()) require_size("nodes", std::ssize(wanted), count);
    require_indices("nodes", wanted, num_nodes_of(rules));
  }
  spread.nodes = nodes;
  return spread;
}

void place_across(const GpuRules& rules, const Matrix<const std::int64_t>& load,
                  const Matrix<const std::int64_t>& first, const Steps& steps, const Nodes& nodes,
                  const Matrix<std::int64_t>& placed, const Row<bool>& done) {
  const auto loads = view(load), counts = view(first);
  const auto rows = view(placed);
  const auto is_done = view(done);
  require_layers(rules, loads, counts, rows, is_done);
  const auto& open = rules.open_slots;
  const Index num_slots = std::reduce(open.begin(), open.end());
  for (Index layer = 0; layer < loads.rows(); ++layer) {
    const auto row = counts[layer];
    require(std::ranges::min(row) >= 1 && std::reduce(row.begin(), row.end()) <= num_slots,
            "first holds no count, or more than the slots.");
  }
  const rules::Spread spread = spread_of(rules, steps, nodes);
  nb::gil_scoped_release unlocked;
  rules::NodeFiller filler(rules, loads.columns());
  for (Index layer = 0; layer < loads.rows(); ++layer) {
    is_done[layer] = filler.spread(loads[layer], counts[layer], spread, rows[layer]);
  }
}

void level_homes(const Matrix<const std::int64_t>& load, const Matrix<const double>& price,
                 const Row<const double>& part, const Row<const std::int64_t>& room,
                 const Matrix<std::int64_t>& home) {
  const auto loads = view(load);
  const auto prices = view(price);
  const auto homes = view(home);
  const auto parts = view(part);
  const auto rooms = view(room);
  require_size("price", prices.rows(), loads.rows() * loads.columns());
  require_size("price", prices.columns(), std::ssize(parts));
  require_size("room", std::ssize(rooms), std::ssize(parts));
  require_size("home", homes.rows(), loads.rows());
  require_size("home", homes.columns(), loads.columns());
  require(std::reduce(rooms.begin(), rooms.end()) >= loads.columns(),
          "The experts do not fit the slots.");
  nb::gil_scoped_release unlocked;
  for (Index layer = 0; layer < loads.rows(); ++layer) {
    const Table<const double> own(prices[layer * loads.columns()].data(), loads.columns(),
                                  prices.columns());
    rules::level_homes(loads[layer], own, parts, rooms, homes[layer]);
  }
}

}  // namespace

void add_rules_on_nodes(nb::module_& chapter) {
  chapter.def("place_at_home", &place_at_home, nb::arg("rules"), nb::arg("load").noconvert(),
              nb::arg("home").noconvert(), nb::arg("placed").noconvert(),
              nb::arg("done").noconvert(),
              "Write plans with all at home that fits there; the rules' unit is the node.\n\n"
              "`load` and `home` are int64 [num_layers, num_experts], `placed` int64 [num_layers,\n"
              "num_slots] full of -1, `done` bool [num_layers]: whether every replica of a layer\n"
              "found a GPU that may take it; what is written of the others is no plan.");
  chapter.def("place_across", &place_across, nb::arg("rules"), nb::arg("load").noconvert(),
              nb::arg("first").noconvert(), nb::arg("steps"), nb::arg("nodes"),
              nb::arg("placed").noconvert(), nb::arg("done").noconvert(),
              "Write plans whose hot experts stand on many nodes; the rules' unit is the node.\n\n"
              "`first` is int64 [num_layers, num_experts], the counts to begin with. `steps` has\n"
              "for each count the steps from there, the best first: what a step is worth a replica\n"
              "and a unit of load, and its replicas. `nodes` has for each count the nodes that the\n"
              "replicas should have, or none. Others as for `place_at_home`.");
  chapter.def("level_homes", &level_homes, nb::arg("load").noconvert(),
              nb::arg("price").noconvert(), nb::arg("part").noconvert(),
              nb::arg("room").noconvert(), nb::arg("home").noconvert(),
              "Write a node for each expert, int64 [num_layers, num_experts], in descending load.\n\n"
              "`price` is float64 [num_layers * num_experts, num_nodes], `part` float64 [num_nodes]\n"
              "each node's part of the GPUs, and `room` int64 [num_nodes] its slots. An expert goes\n"
              "where its price, and the node's load over the largest so far, or the mean, are least.");
}

}  // namespace eplb::bind
