#include <nanobind/stl/optional.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "bindings/turn.hpp"
#include "config_lp/column_generation.hpp"

namespace eplb::bind {

namespace {

using config_lp::ColumnGeneration;
using config_lp::FlatNode;
using Int64Row = Row<const std::int64_t>;
using DoubleRow = Row<const double>;

// Numbers in the inverse of a basis and in the first columns, which are the largest tables.
constexpr Index kMostCells = Index{1} << 27;
// Every expert with every count is looked at in each round.
constexpr Index kMostChoices = Index{1} << 24;
// Sums of counts, and of loads, stay in int64.
constexpr Index kMostCount = Index{1} << 40;
constexpr std::int64_t kMostLoad = std::int64_t{1} << 62;

bool is_small(Index num_experts, Index num_slots, Index slots_per_gpu) {
  const auto counts = [](Index number) { return number >= 0 && number <= kMostCells; };
  return counts(num_slots) && counts(num_experts) && counts(slots_per_gpu) &&
         num_experts * (num_experts + slots_per_gpu) <= kMostCells &&
         num_experts * num_slots <= kMostChoices;
}

FlatNode checked_node(const Int64Row& load, Index num_slots, Index num_gpus) {
  const Index num_experts = static_cast<Index>(load.shape(0));
  require(num_experts >= 1, "load needs an expert.");
  require(num_gpus >= 1 && num_slots >= 1, "num_slots and num_gpus are at least 1.");
  require(num_slots % num_gpus == 0, "num_gpus does not divide num_slots.");
  require(is_small(num_experts, num_slots, num_slots / num_gpus),
          std::to_string(num_experts) + " experts on " + std::to_string(num_slots) +
              " slots are too many for the configuration LP.");
  const auto loads = view(load);
  for (const std::int64_t entry : loads) {
    require(entry >= 0 && entry <= kMostLoad, "load holds " + std::to_string(entry) +
                                                  ", which is not in 0..2**62.");
  }
  return {{loads.begin(), loads.end()}, num_slots, num_gpus};
}

std::vector<Index> checked_start(const std::optional<Int64Row>& start, const FlatNode& node) {
  if (!start) return {};
  require_size("start", static_cast<Index>(start->shape(0)), node.num_slots);
  require_indices("start", view(*start), node.num_experts());
  return {view(*start).begin(), view(*start).end()};
}

void require_counts(const char* name, const Int64Row& counts, const FlatNode& node) {
  require_size(name, static_cast<Index>(counts.shape(0)), node.num_experts());
  require_indices(name, view(counts), kMostCount);
}

void require_values(const DoubleRow& values, const FlatNode& node) {
  require_size("last", static_cast<Index>(values.shape(0)), node.num_experts());
  for (const double value : view(values)) {
    require(std::isfinite(value) && value >= 0, "last holds " + std::to_string(value) +
                                                    ", which is no finite number from 0 on.");
  }
}

config_lp::Limit limit_of(double seconds, std::optional<Index> rounds) {
  require(!std::isnan(seconds), "seconds is not a number.");
  const Index never = std::numeric_limits<Index>::max();
  return {Deadline::after(std::max(seconds, 0.0)), rounds.value_or(never)};
}

class BoundColumnGeneration {
 public:
  BoundColumnGeneration(const Int64Row& load, Index num_slots, Index num_gpus,
                        const std::optional<Int64Row>& start)
      : BoundColumnGeneration(checked_node(load, num_slots, num_gpus), start) {}

  config_lp::Verdict decide(double target, const Int64Row& low, const Int64Row& high,
                            const std::optional<DoubleRow>& last, double seconds,
                            std::optional<Index> rounds) {
    require(std::isfinite(target) && target > 0, "target is no finite number above 0.");
    require_counts("low", low, work_.node());
    require_counts("high", high, work_.node());
    if (last) require_values(*last, work_.node());
    const auto begin = last ? view(*last) : std::span<const double>();
    const auto limit = limit_of(seconds, rounds);
    const Turn turn(is_taken_);
    nb::gil_scoped_release unlocked;
    return work_.decide(target, {view(low), view(high)}, begin, limit);
  }

  NumpyMatrix<double> division() {
    const Turn turn(is_taken_);
    auto found = work_.division();
    return to_numpy(std::move(found.level), work_.node().num_experts(), found.num_counts);
  }
  NumpyRow<double> centre() {
    const Turn turn(is_taken_);
    return to_numpy(std::vector<double>(work_.centre().begin(), work_.centre().end()));
  }
  Index rounds() {
    const Turn turn(is_taken_);
    return work_.rounds();
  }

 private:
  BoundColumnGeneration(FlatNode node, const std::optional<Int64Row>& start)
      : work_(node, checked_start(start, node)) {}

  ColumnGeneration work_;
  std::atomic<bool> is_taken_ = false;
};

void add_class(nb::module_& chapter) {
  nb::class_<BoundColumnGeneration>(
      chapter, "ColumnGeneration",
      "Decides whether the configuration LP of a node is feasible at a load.\n\n"
      "Columns, basis and dual values are kept from one load to the next.")
      .def(nb::init<const Int64Row&, Index, Index, const std::optional<Int64Row>&>(),
           nb::arg("load"), nb::arg("num_slots"), nb::arg("num_gpus"), nb::arg("start").none(),
           "`load` is int64 [num_experts]; `start` is a plan, int64 [num_slots], or None.")
      .def("decide", &BoundColumnGeneration::decide, nb::arg("target"), nb::arg("low"),
           nb::arg("high"), nb::arg("last").none(), nb::kw_only(), nb::arg("seconds"),
           nb::arg("rounds").none(),
           "Whether fractions of patterns of at most `target` fit the GPUs.\n\n"
           "`low` and `high` are the counts that experts may have, int64 [num_experts]; `last` is\n"
           "dual values to begin with, float64 [num_experts], or None. No round of pricing is\n"
           "begun that may not end within `seconds`, and no more than `rounds`, or None.")
      .def("division", &BoundColumnGeneration::division,
           "How much of each expert the LP takes with each count, float64\n"
           "[num_experts, num_counts].")
      .def_prop_ro("centre", &BoundColumnGeneration::centre, nb::rv_policy::move,
                   "The dual values of the best bound at the last target, float64 [num_experts].")
      .def_prop_ro("rounds", &BoundColumnGeneration::rounds, "Rounds of pricing so far.");
}

}  // namespace

void add_config_lp(nb::module_& chapter) {
  nb::enum_<config_lp::Verdict>(chapter, "Verdict", "What is known of the LP at a load.")
      .value("FEASIBLE", config_lp::Verdict::kFeasible)
      .value("INFEASIBLE", config_lp::Verdict::kInfeasible)
      .value("OPEN", config_lp::Verdict::kOpen);
  add_class(chapter);
  chapter.def("is_small", &is_small, nb::arg("num_experts"), nb::arg("num_slots"),
              nb::arg("slots_per_gpu"), "Whether a node's tables fit the memory that they may take.");
}

}  // namespace eplb::bind
