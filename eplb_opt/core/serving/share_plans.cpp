#include "serving/share_plans.hpp"

#include "serving/share_start.hpp"

namespace eplb::serving {

namespace {

// One part in so many.
constexpr std::int64_t kClose = 10, kMuch = 100;

template <typename Rule>
class Planner {
 public:
  Planner(const Rule& rule, Index num_experts, const ShareRequest& request)
      : request_(request),
        layer_(rule, request.machine, num_experts),
        start_(rule, request.machine, num_experts),
        descent_(layer_),
        fresh_(request.machine.num_slots) {}

  // The largest load of a layer's plan before, -1 where there was none, and after.
  std::pair<std::int64_t, std::int64_t> plan(std::span<const std::int64_t> weight,
                                             std::span<std::int64_t> placed,
                                             const std::optional<Deadline>& deadline) {
    const bool exists = placed[0] >= 0;
    const bool is_flat = request_.machine.node_slots == request_.machine.num_slots;
    const std::int64_t part = make_fresh(weight);
    std::int64_t before = -1;
    if (exists) {
      layer_.reset(weight, placed);
      before = layer_.largest();
    }
    const bool is_near = exists && (request_.near || !is_flat);
    const bool kicks = !(exists && request_.near);
    const ShareBudget budget{request_.steps, deadline, kicks, request_.seed};
    const std::int64_t aim = target(weight, part);
    if (!is_near) {
      layer_.reset(weight, fresh_);
      descent_.run(weight, aim, exists ? budget.half() : budget);
    }
    // Where a new plan is no better in the end, there is more to find from the other one.
    if (exists && (is_near || layer_.largest() >= before)) {
      layer_.reset(weight, placed);
      descent_.run(weight, aim, budget);
    }
    if (exists && request_.near && is_flat && layer_.largest() > aim) take_fresh(weight, aim, budget);
    std::ranges::copy(layer_.slots(), placed.begin());
    return {before, layer_.largest()};
  }

 private:
  // Few moves can end where only several copies at once would help. A new plan then takes their
  // place, if it is better by more than the tolerance.
  void take_fresh(std::span<const std::int64_t> weight, std::int64_t aim, const ShareBudget& budget) {
    const std::int64_t reached = layer_.largest();
    near_.assign(layer_.slots().begin(), layer_.slots().end());
    layer_.reset(weight, fresh_);
    descent_.run(weight, aim, budget);
    const double level = static_cast<double>(layer_.largest()) * (1.0 + request_.tolerance);
    if (static_cast<double>(reached) <= level) layer_.reset(weight, near_);
  }

  // A first plan, and the largest of its replicas if all of an expert's are equal. Where that is
  // close to the mean, counts count for more than equal parts.
  std::int64_t make_fresh(std::span<const std::int64_t> weight) {
    const std::int64_t part = start_.make(weight, false, fresh_);
    const std::int64_t mean = std::reduce(weight.begin(), weight.end());
    if (part <= mean - mean / kClose) return part;
    other_.resize(fresh_.size());
    const std::int64_t other = start_.make(weight, true, other_);
    if (other < part - part / kMuch) fresh_ = other_;
    return std::min(part, other);
  }

  // All senders bring all weights, so that this mean is of the layer's whole load over its GPUs.
  std::int64_t target(std::span<const std::int64_t> weight, std::int64_t part) const {
    const std::int64_t total = std::reduce(weight.begin(), weight.end());
    const std::int64_t mean = total * layer_.rule().num_senders() / request_.machine.num_gpus;
    const double aim = static_cast<double>(std::max(mean, part)) * (1.0 + request_.tolerance);
    return static_cast<std::int64_t>(aim) + 1;
  }

  ShareRequest request_;
  ShareLayer<Rule> layer_;
  ShareStart<Rule> start_;
  ShareDescent<Rule> descent_;
  std::vector<std::int64_t> fresh_, other_, near_;
};

// The end of one layer's turn, when so many are left.
std::optional<Deadline> turn(std::int64_t end, Index left) {
  const double seconds = static_cast<double>(end - now_ns()) * 1e-9;
  return Deadline::after(seconds / static_cast<double>(left));
}

}  // namespace

ShareLoadsOf plan_shares(const SenderRule& rule, Table<const std::int64_t> weights,
                         const ShareRequest& request, Table<std::int64_t> placed) {
  ShareLoadsOf loads;
  const std::int64_t end =
      now_ns() + static_cast<std::int64_t>(std::clamp(request.seconds.value_or(0.0), 0.0, 1e9) * 1e9);
  std::visit(
      [&](const auto& kind) {
        Planner<std::decay_t<decltype(kind)>> planner(kind, weights.columns(), request);
        for (Index layer = 0; layer < weights.rows(); ++layer) {
          std::optional<Deadline> deadline;
          if (request.seconds) deadline = turn(end, weights.rows() - layer);
          const auto [before, after] = planner.plan(weights[layer], placed[layer], deadline);
          loads.before.push_back(before);
          loads.after.push_back(after);
        }
      },
      rule);
  return loads;
}

}  // namespace eplb::serving
