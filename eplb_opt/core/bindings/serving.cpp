#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <cmath>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "bindings/maps.hpp"
#include "bindings/numbers.hpp"
#include "serving/checker.hpp"
#include "serving/session.hpp"

namespace eplb::bind {

namespace {

using IntMatrix = Matrix<const std::int64_t>;
using Flags = Row<const bool>;

Index first_offence(const IntMatrix& placed, const IntMatrix& counts, Index num_groups,
                    Index num_nodes) {
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

// A session with the array that it looks at.
class BoundSession {
 public:
  BoundSession(Numbers weight, const Sizes& sizes, bool is_greedy) : weight_(std::move(weight)) {
    const StridedTable given = strided(weight_);
    require(given.rows >= 1, "There are no layers.");
    const greedy::Layout layout = layout_of(given.columns, sizes);
    nb::gil_scoped_release unlocked;
    session_.emplace(given, layout);
    num_slots_ = layout.num_slots;
    if (is_greedy) session_->plan_greedily();
  }

  NumpyMatrix<const std::int64_t> placed() {
    const Table<const std::int64_t> table = session_->placed();
    return NumpyMatrix<const std::int64_t>(table.data(), {static_cast<std::size_t>(table.rows()),
                                                          static_cast<std::size_t>(table.columns())});
  }

  NumpyRow<std::int8_t> compare(const IntMatrix& current) {
    require_plan(current);
    std::vector<std::int8_t> verdicts;
    {
      nb::gil_scoped_release unlocked;
      for (const serving::Comparison verdict : session_->compare(view(current))) {
        verdicts.push_back(static_cast<std::int8_t>(verdict));
      }
    }
    return to_numpy(std::move(verdicts));
  }

  void keep(const IntMatrix& current, const Flags& layers) {
    require_plan(current);
    require_size("layers", static_cast<Index>(layers.shape(0)), session_->placed().rows());
    const std::vector<std::uint8_t> kept(layers.data(), layers.data() + layers.shape(0));
    nb::gil_scoped_release unlocked;
    session_->keep(view(current), kept);
  }

  void put(const IntMatrix& plan) {
    require_plan(plan);
    nb::gil_scoped_release unlocked;
    session_->put(view(plan));
  }

  void refine(Index steps, std::optional<double> seconds) {
    require(steps >= 0, "steps is at least 0.");
    require(!seconds || !std::isnan(*seconds), "seconds is no number.");
    nb::gil_scoped_release unlocked;
    session_->refine(steps, seconds);
  }

  std::tuple<bool, Maps> maps() {
    bool is_sound = false;
    const Table<std::int64_t> placed = session_->placed(), counts = session_->counts();
    Buffer<std::int64_t> slots, out_placed(placed.rows(), placed.columns());
    Buffer<std::int64_t> out_counts(counts.rows(), counts.columns());
    {
      nb::gil_scoped_release unlocked;
      is_sound = session_->check();
      slots = listed(placed, counts);
      std::ranges::copy(placed.all(), out_placed.table().data());
      std::ranges::copy(counts.all(), out_counts.table().data());
    }
    return {is_sound, to_maps(std::move(out_placed), std::move(slots), std::move(out_counts))};
  }

 private:
  // Every number is an expert: what else the laws ask for, the caller has looked at.
  void require_plan(const IntMatrix& current) const {
    const StridedTable given = strided(weight_);
    require(static_cast<Index>(current.shape(0)) == given.rows &&
                static_cast<Index>(current.shape(1)) == num_slots_,
            "current is no [num_layers, num_slots].");
    require_indices("current", view(current).all(), given.columns);
  }

  Numbers weight_;
  Index num_slots_ = 0;
  std::optional<serving::Session> session_;
};

}  // namespace

void add_serving_parts(nb::module_& chapter);  // serving_parts.cpp
void add_serving_priced(nb::module_& chapter);  // serving_priced.cpp

void add_serving(nb::module_& chapter) {
  add_serving_parts(chapter);
  add_serving_shares(chapter);
  add_serving_priced(chapter);
  chapter.def("first_offence", &first_offence, nb::arg("placed"), nb::arg("counts"),
              nb::arg("num_groups"), nb::arg("num_nodes"),
              "The first layer that breaks a law, or -1.\n\n"
              "`placed` is int64 [num_layers, num_slots], `counts` int64 [num_layers, num_experts];\n"
              "`num_groups` and `num_nodes` are 1 where the nodes constrain nothing.");
  nb::class_<BoundSession>(chapter, "Session",
                           "One call of the serving path. From one thread at a time.")
      .def(nb::init<Numbers, const Sizes&, bool>(), nb::arg("weight"), nb::arg("sizes"),
           nb::arg("greedy") = true,
           "`weight` holds real numbers [num_layers, num_experts] of any type, stride and order;\n"
           "`sizes` are slots, groups, nodes and GPUs. Plans greedily; with `greedy` False not\n"
           "before somebody asks for the plan, who may `put` another first.")
      .def_prop_ro("placed", &BoundSession::placed, nb::rv_policy::reference_internal,
                   "The expert of every slot, int64 [num_layers, num_slots]: the plan as it is.")
      .def("compare", &BoundSession::compare, nb::arg("current"),
           "Compare with a plan in force, int64 [num_layers, num_slots]: int8 [num_layers], 1\n"
           "where the greedy's largest GPU load is lower, -1 where it is higher, 0 where they\n"
           "differ by no more than rounding.")
      .def("keep", &BoundSession::keep, nb::arg("current"), nb::arg("layers"),
           "Take the layers that `layers`, bool [num_layers], names from the plan in force.")
      .def("put", &BoundSession::put, nb::arg("plan"),
           "Take all layers of a plan, int64 [num_layers, num_slots], to write its maps.")
      .def("refine", &BoundSession::refine, nb::arg("steps"), nb::arg("seconds").none(),
           "Refine by steps a layer, or for so many seconds with what is still to come.")
      .def("maps", &BoundSession::maps,
           "Check the plan: whether it obeys all laws, and phy2log, log2phy and logcnt; those of\n"
           "the greedy where it does not.");
}

}  // namespace eplb::bind
