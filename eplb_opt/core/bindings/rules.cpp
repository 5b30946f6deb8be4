#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "rules/apart.hpp"
#include "rules/fill.hpp"

namespace eplb::bind {

namespace {

using rules::Fault;
using rules::GpuRules;
using Mask = nb::ndarray<const bool, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

void make_rules(GpuRules* at, const Row<const std::int64_t>& open_slots,
                const Row<const std::int64_t>& unit, const Row<const double>& speed, bool is_spread,
                bool keeps_apart) {
  const auto num_gpus = static_cast<Index>(open_slots.shape(0));
  require(num_gpus >= 1, "There is no GPU.");
  require_size("unit", static_cast<Index>(unit.shape(0)), num_gpus);
  require_size("speed", static_cast<Index>(speed.shape(0)), num_gpus);
  require_indices("unit", view(unit), num_gpus);
  require(std::ranges::all_of(view(speed), [](double s) { return s > 0; }),
          "speed holds what is not above 0.");
  const auto slots = view(open_slots);
  require(std::ranges::all_of(slots, [](Index s) { return s >= 0; }),
          "open_slots holds a number below 0.");
  const auto units = view(unit);
  const auto speeds = view(speed);
  new (at) GpuRules{{slots.begin(), slots.end()},
                    {units.begin(), units.end()},
                    {speeds.begin(), speeds.end()},
                    is_spread,
                    keeps_apart};
}

// One layer of a mask, or nothing.
std::span<const bool> layer_of(const std::optional<Mask>& mask, Index layer) {
  if (!mask) return {};
  const std::size_t size = mask->shape(1) * mask->shape(2);
  return {mask->data() + static_cast<std::size_t>(layer) * size, size};
}

void require_mask(const char* name, const std::optional<Mask>& mask, Table<const std::int64_t> load,
                  Index num_gpus) {
  if (!mask) return;
  require_size(name, static_cast<Index>(mask->shape(0)), load.rows());
  require_size(name, static_cast<Index>(mask->shape(1)), load.columns());
  require_size(name, static_cast<Index>(mask->shape(2)), num_gpus);
}

std::tuple<Index, int, Index, Index> fill(const GpuRules& rules,
                                          const Matrix<const std::int64_t>& load,
                                          const std::optional<Mask>& forbidden,
                                          const std::optional<Mask>& pinned,
                                          const Matrix<std::int64_t>& placed) {
  const auto loads = view(load);
  const auto num_gpus = std::ssize(rules.open_slots);
  const auto rows = view(placed);
  require_size("placed", rows.rows(), loads.rows());
  require(rows.columns() % num_gpus == 0, "The slots are no multiple of the GPUs.");
  require(std::ranges::max(rules.open_slots) <= rows.columns() / num_gpus,
          "open_slots holds more than the slots of a GPU.");
  require_mask("forbidden", forbidden, loads, num_gpus);
  require_mask("pinned", pinned, loads, num_gpus);
  nb::gil_scoped_release unlocked;
  rules::Filler filler(rules, loads.columns());
  for (Index layer = 0; layer < loads.rows(); ++layer) {
    const rules::Ties ties{layer_of(forbidden, layer), layer_of(pinned, layer)};
    const Fault fault = filler.fill(loads[layer], ties, rows[layer]);
    if (fault.flaw != rules::Flaw::kNone) {
      return {layer, static_cast<int>(fault.flaw), fault.index, fault.room};
    }
  }
  return {-1, 0, -1, 0};
}

void place_apart(const Row<const std::int64_t>& load, Index num_gpus,
                 const Row<std::int64_t>& placed) {
  const auto slots = static_cast<Index>(placed.shape(0));
  const auto experts = static_cast<Index>(load.shape(0));
  require(num_gpus >= 1 && slots % num_gpus == 0, "The slots are no multiple of the GPUs.");
  require(slots >= experts && slots / num_gpus <= experts,
          "The experts do not fit the slots, one of each a GPU.");
  nb::gil_scoped_release unlocked;
  rules::place_apart(view(load), num_gpus, view(placed));
}

}  // namespace

void add_rules(nb::module_& chapter) {
  nb::class_<GpuRules>(chapter, "GpuRules", "What holds for the GPUs in every layer.")
      .def("__init__", &make_rules, nb::arg("open_slots").noconvert(), nb::arg("unit").noconvert(),
           nb::arg("speed").noconvert(), nb::arg("is_spread"), nb::arg("keeps_apart"),
           "`open_slots` and `unit` are int64 [num_gpus], `speed` float64 [num_gpus]; the unit is\n"
           "what a plan is to survive the loss of, the GPU or its node.");
  chapter.def("fill", &fill, nb::arg("rules"), nb::arg("load").noconvert(),
              nb::arg("forbidden").none(), nb::arg("pinned").none(), nb::arg("placed").noconvert(),
              "Write a plan that obeys every rule.\n\n"
              "`load` is int64 [num_layers, num_experts], the masks bool [num_layers, num_experts,\n"
              "num_gpus] or None, `placed` int64 [num_layers, num_slots] full of -1. Returns the\n"
              "layer without a plan or -1, why (1: an expert finds no slot, 2: no second unit, 3: no\n"
              "expert may stand in a GPU's last slots), that expert or GPU, and the slots left.");
  chapter.def("place_apart", &place_apart, nb::arg("load").noconvert(), nb::arg("num_gpus"),
              nb::arg("placed").noconvert(),
              "Write one node's greedy plan under which no GPU holds an expert twice.\n\n"
              "`load` is int64 [num_experts], `placed` int64 [num_slots].");
  add_rules_on_nodes(chapter);
}

}  // namespace eplb::bind
