#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <cmath>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "bindings/numbers.hpp"
#include "bindings/turn.hpp"
#include "common/clock.hpp"
#include "near/layer.hpp"
#include "serving/fixed_point.hpp"

namespace eplb::bind {

namespace {

using IntMatrix = Matrix<const std::int64_t>;
using IntRow = Row<const std::int64_t>;
using Flags = Row<const bool>;

// Plans, and columns of numbers: see `add_near`.
using Plans = std::tuple<NumpyMatrix<std::int64_t>, NumpyMatrix<std::int64_t>>;

// What `largest` counts is so much in the weights' unit.
constexpr int kShift = serving::kTotalBits - near::kTotalBits;

struct Columns {
  static constexpr Index kWidth = 7;

  explicit Columns(Index size) : num_slots(size) {}

  void add(const near::Outcome& outcome, std::int64_t bound) {
    placed.resize(placed.size() + num_slots);
    for (const std::int64_t number :
         {outcome.moves, outcome.price, outcome.largest << kShift, bound << kShift,
          outcome.before << kShift, outcome.forced, std::int64_t{outcome.is_reached}}) {
      numbers.push_back(number);
    }
  }
  std::span<std::int64_t> last_row() { return std::span(placed).last(num_slots); }
  Index rows() const { return std::ssize(placed) / num_slots; }

  Plans to_plans() {
    const Index num_rows = rows();
    return {to_numpy(std::move(placed), num_rows, num_slots),
            to_numpy(std::move(numbers), num_rows, kWidth)};
  }

  Index num_slots;
  std::vector<std::int64_t> placed, numbers;
};

class BoundPlanner {
 public:
  BoundPlanner(Index num_experts, const Sizes& sizes, const Flags& active, Index far_price,
               bool is_apart)
      : machine_(checked(num_experts, sizes, active, far_price, is_apart)), layer_(machine_) {}

  Plans within(const IntMatrix& weights, const IntMatrix& held, double tolerance, Index steps,
               std::optional<double> seconds, bool bisects) {
    require(std::isfinite(tolerance) && tolerance >= 0, "tolerance is finite and at least 0.");
    require(!seconds || !std::isnan(*seconds), "seconds is no number.");
    require_steps(steps);
    const Deadline deadline = seconds ? Deadline::after(*seconds) : Deadline::never();
    return each_layer(weights, held, [&](Index) {
      return deadline.expired() ? layer_.stay() : layer_.within(tolerance, steps, bisects);
    });
  }

  Plans below(const IntMatrix& weights, const IntMatrix& held, const IntRow& levels, Index steps) {
    require_size("levels", std::ssize(view(levels)), static_cast<Index>(weights.shape(0)));
    for (const std::int64_t level : view(levels)) require(level >= 0, "A level is below 0.");
    require_steps(steps);
    return each_layer(weights, held,
                      [&](Index i) { return layer_.below(view(levels)[i], steps); });
  }

  Plans at_most(const IntMatrix& weights, const IntMatrix& held, const IntRow& prices, Index steps) {
    require_size("prices", std::ssize(view(prices)), static_cast<Index>(weights.shape(0)));
    for (const std::int64_t price : view(prices)) {
      require(price >= 0 && price <= kMost, "A price is not in 0..2**30.");
    }
    require_steps(steps);
    return each_layer(weights, held,
                      [&](Index i) { return layer_.at_most(view(prices)[i], steps); });
  }

  Plans front(const IntMatrix& weight, const IntMatrix& held, Index steps,
              std::optional<double> seconds) {
    require_size("weight", static_cast<Index>(weight.shape(0)), 1);
    require(!seconds || !std::isnan(*seconds), "seconds is no number.");
    require_steps(steps);
    const Deadline deadline = seconds ? Deadline::after(*seconds) : Deadline::never();
    const Turn turn(is_taken_);
    start_checked(weight, held);
    Columns columns(num_slots());
    {
      nb::gil_scoped_release unlocked;
      if (layer_.start(view(weight)[0], view(held)[0])) {
        for (const near::Outcome& outcome : layer_.front(steps, deadline)) {
          columns.add(outcome, layer_.bound());
          layer_.write(columns.rows() - 1, columns.last_row());
        }
      }
    }
    return columns.to_plans();
  }

 private:
  static constexpr Index kMost = Index{1} << 30;

  static near::Machine checked(Index num_experts, const Sizes& sizes, const Flags& active,
                               Index far_price, bool is_apart) {
    const greedy::Layout layout = layout_of_any(num_experts, sizes);
    require_size("active", static_cast<Index>(active.shape(0)), layout.num_gpus);
    require(far_price >= 1 && far_price <= 1000, "far_price is not in 1..1000.");
    return {num_experts,
            layout.num_gpus,
            layout.slots_per_gpu(),
            layout.num_nodes,
            layout.num_groups,
            far_price,
            is_apart,
            {active.data(), active.data() + active.shape(0)}};
  }

  // Lost GPUs may leave fewer slots than experts, and then their layers cannot be planned.
  static greedy::Layout layout_of_any(Index num_experts, const Sizes& sizes) {
    const auto [num_slots, num_groups, num_nodes, num_gpus] = sizes;
    constexpr Index kMostSlots = Index{1} << 24;
    require(num_experts >= 1 && num_groups >= 1 && num_nodes >= 1 && num_gpus >= 1,
            "Experts, groups, nodes and GPUs are at least 1.");
    require(num_slots >= num_gpus && num_slots <= kMostSlots && num_slots % num_gpus == 0,
            "num_slots is a multiple of num_gpus and no more than 2**24.");
    require(num_experts <= kMostSlots && num_experts % num_groups == 0 && num_gpus % num_nodes == 0,
            "Groups divide the experts, which are no more than 2**24, and nodes the GPUs.");
    require(num_groups == 1 || num_groups % num_nodes == 0, "Nodes divide the groups.");
    return {num_experts, num_slots, num_groups, num_nodes, num_gpus};
  }

  static void require_steps(Index steps) {
    require(steps >= 0 && steps <= kMost, "steps is not in 0..2**30.");
  }

  Index num_slots() const { return machine_.num_gpus * machine_.slots_per_gpu; }

  void start_checked(const IntMatrix& weights, const IntMatrix& held) const {
    require_size("A row of weights", static_cast<Index>(weights.shape(1)), machine_.num_experts);
    require_size("A row of held", static_cast<Index>(held.shape(1)), num_slots());
    require_size("held", static_cast<Index>(held.shape(0)), static_cast<Index>(weights.shape(0)));
    for (Index layer = 0; layer < view(weights).rows(); ++layer) {
      std::int64_t sum = 0;
      for (const std::int64_t weight : view(weights)[layer]) {
        require(weight >= 0 && weight <= std::int64_t{1} << serving::kTotalBits,
                "A weight is negative or past 2**58.");
        sum += weight;
        require(sum <= std::int64_t{1} << serving::kTotalBits,
                "Weights add up to more than 2**58.");
      }
      for (const std::int64_t id : view(held)[layer]) {
        require(id >= -1 && id < machine_.num_experts, "held has an id that no expert has.");
      }
    }
  }

  template <typename Plan>
  Plans each_layer(const IntMatrix& weights, const IntMatrix& held, const Plan& plan) {
    const Turn turn(is_taken_);
    start_checked(weights, held);
    Columns columns(num_slots());
    {
      nb::gil_scoped_release unlocked;
      for (Index i = 0; i < view(weights).rows(); ++i) {
        const bool is_sound = layer_.start(view(weights)[i], view(held)[i]);
        columns.add(is_sound ? plan(i) : near::Outcome{}, is_sound ? layer_.bound() : 0);
        if (is_sound) {
          layer_.write(columns.last_row());
        } else {
          std::ranges::copy(view(held)[i], columns.last_row().begin());
        }
      }
    }
    return columns.to_plans();
  }

  std::atomic<bool> is_taken_ = false;
  near::Machine machine_;
  near::Layer layer_;
};

}  // namespace

void add_near(nb::module_& chapter) {
  nb::class_<BoundPlanner>(chapter, "Planner",
                           "Plans near the ones in force.\n\n"
                           "Weights are int64 [num_layers, num_experts], of `serving.fixed_point`;\n"
                           "`held` is int64 [num_layers, num_slots], -1 for an empty slot. All\n"
                           "methods return the plans, int64 [num, num_slots], -1 on lost GPUs, and of\n"
                           "each these numbers, int64 [num, 7]: its moves, their price, its largest load\n"
                           "(rounded up), what no plan is below (rounded down), the largest load of\n"
                           "the map in force with the moves that must be, the number of those, and\n"
                           "whether it is as level as asked; loads in the weights' unit. A layer that\n"
                           "cannot be planned has the largest load 0.")
      .def(nb::init<Index, const Sizes&, const Flags&, Index, bool>(), nb::arg("num_experts"),
           nb::arg("sizes"), nb::arg("active"), nb::arg("far_price"), nb::arg("is_apart"),
           "`sizes` are slots, groups, nodes and GPUs; one group where the nodes bind none.\n"
           "`active` is bool [num_gpus]. `far_price` is that of a move to a node where the expert\n"
           "did not stand; within a node it is 1. `is_apart` forbids to bring an expert to a GPU that\n"
           "holds it.")
      .def("within", &BoundPlanner::within, nb::arg("weights"), nb::arg("held"),
           nb::arg("tolerance"), nb::arg("steps"), nb::arg("seconds").none(),
           nb::arg("bisects") = true,
           "The fewest moves found to (1 + tolerance) times the bound; layers whose turn comes\n"
           "after so many seconds stay as they are. Where that level is not reached, `bisects` looks\n"
           "for the lowest that is.")
      .def("below", &BoundPlanner::below, nb::arg("weights"), nb::arg("held"), nb::arg("levels"),
           nb::arg("steps"),
           "The fewest moves found to largest loads of `levels`, int64 [num_layers], in the weights'\n"
           "unit.")
      .def("at_most", &BoundPlanner::at_most, nb::arg("weights"), nb::arg("held"),
           nb::arg("prices"), nb::arg("steps"),
           "The least largest load found with moves of at most a price, int64 [num_layers].")
      .def("front", &BoundPlanner::front, nb::arg("weight"), nb::arg("held"), nb::arg("steps"),
           nb::arg("seconds").none() = nb::none(),
           "For one layer, plans that cost ever more moves for ever less load; no further one is\n"
           "looked for after so many seconds.");
  chapter.attr("TOTAL_BITS") = near::kTotalBits;
}

}  // namespace eplb::bind
