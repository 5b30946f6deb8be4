#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>

#include <cmath>

#include "bindings/chapters.hpp"
#include "bindings/share_rules.hpp"
#include "serving/share_plans.hpp"

namespace eplb::bind {

namespace {

using serving::SenderRule;

// Weights times senders fit twice into 63 bits.
void require_weights(Table<const std::int64_t> weights, Index num_senders) {
  const std::int64_t most = (std::int64_t{1} << 61) / num_senders;
  for (Index layer = 0; layer < weights.rows(); ++layer) {
    std::int64_t sum = 0;
    for (const std::int64_t weight : weights[layer]) {
      require(weight >= 0 && weight <= most - sum,
              "A weight is negative, or a layer's times the senders pass 2**61.");
      sum += weight;
    }
  }
}

// Every plan names each expert, and none more often than the rule knows; or begins with -1.
void require_plans(Table<const std::int64_t> placed, Index num_experts, Index most, bool all) {
  std::vector<Index> count(num_experts);
  for (Index layer = 0; layer < placed.rows(); ++layer) {
    if (placed[layer][0] == -1) {
      require(!all, "With several nodes each layer of start is a plan.");
      continue;
    }
    require_indices("start", placed[layer], num_experts);
    std::ranges::fill(count, 0);
    for (const std::int64_t expert : placed[layer]) ++count[expert];
    require(std::ranges::min(count) >= 1 && std::ranges::max(count) <= most,
            "A layer of start lacks an expert, or has one more often than the rule's most.");
  }
}

// An object in the signature: named with its types, the rule would make this chapter's stubs import
// another's, and type checkers lose their way in that circle.
SenderRule sender_rule(const nb::object& rule) {
  try {
    return nb::cast<SenderRule>(rule);
  } catch (const nb::cast_error&) {
    throw nb::type_error("rule is neither a RankModulo nor a Nearest of the annealing chapter.");
  }
}

std::tuple<NumpyMatrix<std::int64_t>, NumpyRow<std::int64_t>, NumpyRow<std::int64_t>> plan_shares(
    const Matrix<const std::int64_t>& weights, const Matrix<const std::int64_t>& start,
    const nb::object& given_rule, Index num_gpus, Index num_nodes, double tolerance, bool near, Index steps,
    std::optional<double> seconds, Index seed) {
  const SenderRule rule = sender_rule(given_rule);
  const auto given = view(weights), plans = view(start);
  const Index num_slots = plans.columns(), num_experts = given.columns();
  require(given.rows() >= 1 && given.rows() == plans.rows(), "weights and start differ in their layers.");
  require(num_experts >= 1 && num_slots >= num_experts, "There are fewer slots than experts.");
  require(num_gpus >= 1 && num_slots % num_gpus == 0, "num_gpus does not divide the slots.");
  require(num_nodes >= 1 && num_gpus % num_nodes == 0, "num_nodes does not divide the GPUs.");
  require(tolerance >= 0 && tolerance <= 1e6, "tolerance is not in 0..1e6.");
  require(steps >= 0, "steps is at least 0.");
  require(seed != 0, "seed is 0, from which no random number comes.");
  require(!seconds || !std::isnan(*seconds), "seconds is no number.");
  const auto [senders, most] = std::visit(
      [](const auto& kind) { return std::pair{kind.num_senders(), kind.most_copies()}; }, rule);
  require(senders == num_gpus, "The GPUs of the rule are others than num_gpus.");
  require(most >= num_slots - num_experts + 1 || most * num_experts >= num_slots,
          "The rule's most leaves slots empty.");
  if (const auto* nearest = std::get_if<shares::Nearest>(&rule)) {
    require_size("rule", nearest->num_slots(), num_slots);
  }
  require_weights(given, senders);
  require_plans(plans, num_experts, most, num_nodes > 1);
  std::vector<std::int64_t> placed(plans.all().begin(), plans.all().end());
  const serving::ShareRequest request{
      {num_gpus, num_slots, num_slots / num_nodes}, tolerance, near, steps, seed, seconds};
  serving::ShareLoadsOf loads;
  {
    nb::gil_scoped_release unlocked;
    loads = serving::plan_shares(rule, given, request, {placed.data(), plans.rows(), num_slots});
  }
  return {to_numpy(std::move(placed), plans.rows(), num_slots), to_numpy(std::move(loads.before)),
          to_numpy(std::move(loads.after))};
}

}  // namespace

void add_serving_shares(nb::module_& chapter) {
  chapter.def(
      "plan_shares", &plan_shares, nb::arg("weights"), nb::arg("start"), nb::arg("rule"),
      nb::arg("num_gpus"), nb::arg("num_nodes"), nb::arg("tolerance"), nb::arg("near"),
      nb::arg("steps"), nb::arg("seconds").none(), nb::arg("seed"),
      "Plans for a rule by which every GPU sends an expert's tokens to one replica.\n\n"
      "`weights` (int64 [num_layers, num_experts]) are loads in fixed point; `start` (int64\n"
      "[num_layers, num_slots]) holds a plan of each layer, or -1 in its first slot. No replica of\n"
      "it leaves its node of `num_nodes`. A layer ends where it is within 1 + `tolerance` of the\n"
      "mean and of its largest replica, after `steps` exchanges, or with its part of the seconds.\n"
      "With `near` a plan is changed by few moves; else a new one may take its place, and what no\n"
      "exchange betters is left by chance, from `seed`, not 0.\n\n"
      "Returns the plans, int64 [num_layers, num_slots], none worse than its start, and the\n"
      "largest loads before (-1 without a plan) and after, int64 [num_layers], in weights times\n"
      "senders.");
}

}  // namespace eplb::bind
