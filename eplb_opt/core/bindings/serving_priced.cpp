// The serving path with a price on what is served away from home.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cmath>

#include "bindings/arrays.hpp"
#include "bindings/numbers.hpp"
#include "bindings/weights.hpp"
#include "serving/priced_descent.hpp"
#include "serving/priced_session.hpp"

namespace eplb::bind {

namespace {

using IntMatrix = Matrix<const std::int64_t>;

serving::Locality locality_of(Index num_experts, const Sizes& sizes, double price) {
  const auto [num_slots, num_groups, num_nodes, num_gpus] = sizes;
  constexpr Index kMost = 1LL << 30;
  require(num_groups >= 1 && num_groups <= num_experts && num_nodes >= 1 && num_gpus >= 1,
          "Groups, nodes and GPUs are at least 1, and groups no more than the experts.");
  require(num_slots >= num_experts && num_slots <= kMost && num_slots % num_gpus == 0,
          "num_slots is a multiple of num_gpus, no less than the experts and no more than 2**30.");
  require(std::isfinite(price) && price >= 0.0, "price is finite and at least 0.");
  const serving::Locality found{num_experts, num_slots, num_groups, num_nodes, num_gpus, price};
  require((num_nodes - 1) * found.gpus_per_node() < num_gpus, "A node would have no GPU.");
  require((num_groups - 1) * found.group_size() < num_experts, "A group would have no expert.");
  return found;
}

// A session with the array that it looks at.
class BoundPriced {
 public:
  BoundPriced(Numbers weight, const Sizes& sizes, double price) : weight_(std::move(weight)) {
    const StridedTable given = strided(weight_);
    require(given.rows >= 1 && given.columns >= 1, "There are no loads.");
    const serving::Locality locality = locality_of(given.columns, sizes, price);
    nb::gil_scoped_release unlocked;
    session_.emplace(given, locality);
  }

  void plan(Index steps, std::optional<double> seconds) {
    require(steps >= 0, "steps is at least 0.");
    require(!seconds || !std::isnan(*seconds), "seconds is no number.");
    nb::gil_scoped_release unlocked;
    session_->plan(steps, seconds);
  }

  NumpyRow<std::int8_t> offer(const IntMatrix& plan, const Row<const std::int64_t>& layers) {
    require_plan(plan, static_cast<Index>(layers.shape(0)));
    require_indices("layers", view(layers), session_->num_layers());
    std::vector<std::int8_t> found;
    {
      nb::gil_scoped_release unlocked;
      for (Index i = 0; i < std::ssize(view(layers)); ++i) {
        session_->offer(view(layers)[i], view(plan)[i]);
        found.push_back(session_->is_nearly_free() ? 1 : 0);
      }
    }
    return to_numpy(std::move(found));
  }

  std::tuple<NumpyMatrix<std::int64_t>, NumpyRow<std::int8_t>> near(const IntMatrix& current,
                                                                   double tolerance,
                                                                   Index steps) {
    require_plan(current, session_->num_layers());
    require(std::isfinite(tolerance) && tolerance >= 0.0, "tolerance is finite and at least 0.");
    require(steps >= 0, "steps is at least 0.");
    std::vector<std::int64_t> placed(view(current).all().size());
    std::vector<std::int8_t> reached;
    const Index num_slots = session_->locality().num_slots;
    {
      nb::gil_scoped_release unlocked;
      for (Index layer = 0; layer < session_->num_layers(); ++layer) {
        const auto row = std::span(placed).subspan(layer * num_slots, num_slots);
        reached.push_back(
            session_->come_near(layer, view(current)[layer], tolerance, steps, row) ? 1 : 0);
      }
    }
    return {to_numpy(std::move(placed), session_->num_layers(), num_slots),
            to_numpy(std::move(reached))};
  }

  NumpyMatrix<double> worth_of(const IntMatrix& plan) {
    require_plan(plan, session_->num_layers());
    std::vector<serving::Worth> all;
    for (Index layer = 0; layer < session_->num_layers(); ++layer) {
      all.push_back(session_->worth_of(layer, view(plan)[layer]));
    }
    return shown(all);
  }

  NumpyRow<double> strict_bounds() const {
    std::vector<double> all;
    {
      nb::gil_scoped_release unlocked;
      for (Index layer = 0; layer < session_->num_layers(); ++layer) {
        all.push_back(session_->strict_bound(layer) * session_->fixed().unit[layer]);
      }
    }
    return to_numpy(std::move(all));
  }

  NumpyMatrix<const std::int64_t> placed() const { return shown(session_->placed()); }
  NumpyMatrix<const std::int64_t> homes() const { return shown(session_->homes()); }

  NumpyMatrix<double> worth() const { return shown(session_->worth()); }

 private:
  // Every number is an expert: that each has a replica, the caller has looked at.
  void require_plan(const IntMatrix& plan, Index num_rows) const {
    require(static_cast<Index>(plan.shape(0)) == num_rows &&
                static_cast<Index>(plan.shape(1)) == session_->locality().num_slots,
            "The plan has another shape: a row for each layer, a column for each slot.");
    require_indices("plan", view(plan).all(), session_->locality().num_experts);
  }

  // In the caller's unit.
  NumpyMatrix<double> shown(const std::vector<serving::Worth>& worth) const {
    std::vector<double> all;
    for (Index layer = 0; layer < std::ssize(worth); ++layer) {
      const double unit = session_->fixed().unit[layer];
      all.push_back(static_cast<double>(worth[layer].largest) * unit);
      all.push_back(worth[layer].away * unit);
      all.push_back(worth[layer].cost * unit);
    }
    return to_numpy(std::move(all), std::ssize(worth), 3);
  }

  static NumpyMatrix<const std::int64_t> shown(Table<const std::int64_t> table) {
    return NumpyMatrix<const std::int64_t>(table.data(), {static_cast<std::size_t>(table.rows()),
                                                          static_cast<std::size_t>(table.columns())});
  }

  Numbers weight_;
  std::optional<serving::PricedSession> session_;
};

NumpyMatrix<std::int64_t> plans_on_the_way(const Row<const std::int64_t>& weight,
                                           const Row<const std::int64_t>& placed,
                                           const Row<const std::int64_t>& homes,
                                           const Sizes& sizes, double price, Index steps) {
  const serving::Locality locality =
      locality_of(static_cast<Index>(weight.shape(0)), sizes, price);
  require_weights(view(weight));
  require_size("placed", std::ssize(view(placed)), locality.num_slots);
  require_size("homes", std::ssize(view(homes)), locality.num_groups);
  require_indices("placed", view(placed), locality.num_experts);
  require_indices("homes", view(homes), locality.num_nodes);
  require(steps >= 0, "steps is at least 0.");
  std::vector<bool> is_there(locality.num_experts);
  for (const std::int64_t expert : view(placed)) is_there[expert] = true;
  require(std::ranges::find(is_there, false) == is_there.end(), "An expert has no replica.");
  std::vector<std::int64_t> found;
  {
    nb::gil_scoped_release unlocked;
    found = serving::plans_on_the_way(locality, view(weight), view(homes), view(placed), steps);
  }
  const Index num = std::ssize(found) / locality.num_slots;
  return to_numpy(std::move(found), num, locality.num_slots);
}

}  // namespace

void add_serving_priced(nb::module_& chapter) {
  chapter.def("plans_on_the_way", &plans_on_the_way, nb::arg("weight"), nb::arg("placed"),
              nb::arg("homes"), nb::arg("sizes"), nb::arg("price"), nb::arg("steps"),
              "Plans of one layer that cost ever less, int64 [num, num_slots], on a descent from a\n"
              "valid one, `placed` int64 [num_slots], in so many steps at most. `weight` are loads in\n"
              "fixed point, int64 [num_experts]; `homes` the nodes of groups, int64 [num_groups].");
  nb::class_<BoundPriced>(chapter, "PricedSession",
                          "One call with a price on what is served away from home. From one thread\n"
                          "at a time.")
      .def(nb::init<Numbers, const Sizes&, double>(), nb::arg("weight"), nb::arg("sizes"),
           nb::arg("price"),
           "`weight` holds real numbers [num_layers, num_experts] of any type, stride and order;\n"
           "`sizes` are slots, groups, nodes and GPUs, which need not divide; `price` is that of\n"
           "all load, in mean GPU loads.")
      .def("plan", &BoundPriced::plan, nb::arg("steps"), nb::arg("seconds").none(),
           "Plan all layers, refined by steps a layer, or for so many seconds.")
      .def("offer", &BoundPriced::offer, nb::arg("plan"), nb::arg("layers"),
           "Take rows of a plan, int64 [num, num_slots], for the layers int64 [num] where they cost\n"
           "less; int8 [num], 1 where but for its load a row costs next to nothing.")
      .def("near", &BoundPriced::near, nb::arg("current"), nb::arg("tolerance"), nb::arg("steps"),
           "Once planned: few changes to a valid plan in force, int64 [num_layers, num_slots], until\n"
           "each layer costs no more than (1 + tolerance) times its plan, in so many steps a layer\n"
           "at most; and int8 [num_layers], 1 where that was reached.")
      .def("worth_of", &BoundPriced::worth_of, nb::arg("plan"),
           "`worth` of another valid plan, int64 [num_layers, num_slots].")
      .def_prop_ro("strict_bounds", &BoundPriced::strict_bounds, nb::rv_policy::move,
                   "What no plan with all of a group on one node costs less than, float64\n"
                   "[num_layers]; the cost of the layer's plan where it is clear that this is less.")
      .def_prop_ro("placed", &BoundPriced::placed, nb::rv_policy::reference_internal,
                   "The expert of every slot, int64 [num_layers, num_slots].")
      .def_prop_ro("homes", &BoundPriced::homes, nb::rv_policy::reference_internal,
                   "The node of every group, int64 [num_layers, num_groups].")
      .def_prop_ro("worth", &BoundPriced::worth, nb::rv_policy::move,
                   "The largest GPU load, the load away from home, and the cost: the former times\n"
                   "the GPUs plus the latter times the price, float64 [num_layers, 3].");
}

}  // namespace eplb::bind
