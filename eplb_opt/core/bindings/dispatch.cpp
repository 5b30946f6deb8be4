#include <nanobind/stl/pair.h>

#include <cmath>
#include <limits>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "dispatch/split.hpp"

namespace eplb::bind {

namespace {

using dispatch::LayerRoutes;

template <typename T>
using Cube = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

// A numpy array of its own, not filled.
template <typename T, std::size_t N>
nb::ndarray<nb::numpy, T, nb::ndim<N>> make_array(const std::array<std::size_t, N>& shape) {
  std::size_t size = 1;
  for (const std::size_t length : shape) size *= length;
  auto owned = std::make_unique_for_overwrite<T[]>(size);
  nb::capsule owner(owned.get(), [](void* data) noexcept { delete[] static_cast<T*>(data); });
  return nb::ndarray<nb::numpy, T, nb::ndim<N>>(owned.release(), N, shape.data(), owner);
}

using Splits = std::pair<nb::ndarray<nb::numpy, double, nb::ndim<3>>,
                         nb::ndarray<nb::numpy, double, nb::ndim<2>>>;

// The routes of all layers of a placement.
class Routes {
 public:
  Routes(const Matrix<const std::int64_t>& placed, Index num_experts, Index num_gpus)
      : num_slots_(placed.shape(1)), num_experts_(num_experts), num_gpus_(num_gpus) {
    constexpr Index kMost = std::numeric_limits<std::int32_t>::max();
    require(num_experts >= 1 && num_experts <= kMost, "num_experts is not in 1..2**31 - 1.");
    require(num_gpus >= 1 && num_slots_ >= 1 && num_slots_ <= kMost,
            "num_gpus and the slots are at least 1.");
    require(num_slots_ % num_gpus == 0, "num_gpus does not divide the slots.");
    const auto table = view(placed);
    for (const std::int64_t expert : table.all()) {
      if (expert >= -1 && expert < num_experts) continue;
      throw std::invalid_argument("placed holds " + std::to_string(expert) +
                                  ", which is not in -1.." + std::to_string(num_experts - 1) + ".");
    }
    nb::gil_scoped_release unlocked;
    for (Index layer = 0; layer < table.rows(); ++layer) {
      layers_.push_back(LayerRoutes::trace(table[layer], num_experts, num_gpus));
    }
  }

  Splits split(const Cube<const double>& load, const Row<const double>& speed, Index num_sweeps,
               Index most_searches) const {
    const std::size_t num_scenarios = load.shape(0);
    require_size("load's layers", load.shape(1), std::ssize(layers_));
    require_size("load's experts", load.shape(2), num_experts_);
    require_size("speed", speed.shape(0), num_gpus_);
    for (const double s : view(speed)) require(s > 0.0 && std::isfinite(s), "speed is above 0.");
    require(num_sweeps >= 1 && most_searches >= 0, "num_sweeps is at least 1, most_searches 0.");
    auto weights = make_array<double, 3>(
        {num_scenarios, layers_.size(), static_cast<std::size_t>(num_slots_)});
    auto proven = make_array<double, 2>({num_scenarios, layers_.size()});
    require_aligned(load.data(), alignof(double));
    const std::span row(load.data(), load.size());
    const std::span written(weights.data(), weights.size());
    nb::gil_scoped_release unlocked;
    const dispatch::Speeds speeds(view(speed));
    dispatch::Splitter splitter(speeds, {num_sweeps, most_searches});
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      for (std::size_t scenario = 0; scenario < num_scenarios; ++scenario) {
        const std::size_t place = scenario * layers_.size() + layer;
        proven.data()[place] =
            splitter.split(layers_[layer], row.subspan(place * num_experts_, num_experts_),
                           written.subspan(place * num_slots_, num_slots_));
      }
    }
    return {std::move(weights), std::move(proven)};
  }

 private:
  std::vector<LayerRoutes> layers_;
  Index num_slots_, num_experts_, num_gpus_;
};

}  // namespace

void add_dispatch(nb::module_& chapter) {
  nb::class_<Routes>(chapter, "Routes",
                     "Where a placement's experts are, traced once.\n\n"
                     "`placed` is int64 [num_layers, num_slots], -1 in an empty slot; slot p is on\n"
                     "GPU p // (num_slots // num_gpus). One object may be used by several threads.")
      .def(nb::init<const Matrix<const std::int64_t>&, Index, Index>(), nb::arg("placed"),
           nb::arg("num_experts"), nb::arg("num_gpus"))
      .def("split", &Routes::split, nb::arg("load"), nb::arg("speed"), nb::arg("num_sweeps") = 1,
           nb::arg("most_searches") = std::numeric_limits<Index>::max(),
           "Split loads so that the largest load of a GPU over its speed is least.\n\n"
           "`load` is float64 [num_scenarios, num_layers, num_experts], finite and at least 0, and\n"
           "0 for experts without a slot; `speed` is float64 [num_gpus], above 0. `num_sweeps` of\n"
           "least squares come first, then at most `most_searches` a layer for augmenting paths.\n\n"
           "Returns weights, float64 [num_scenarios, num_layers, num_slots], each slot's share of\n"
           "its expert's tokens, and the level that no split is below, up to rounding, float64\n"
           "[num_scenarios, num_layers].");
}

}  // namespace eplb::bind
