#include "local/kicks.hpp"

namespace eplb::local {

namespace {

// Draws after which a kick that cannot be made is given up.
constexpr Index kMaxDraws = 50;

}  // namespace

bool transfer(Plan& plan, std::int64_t ceiling, Random& random) {
  const Node& node = plan.node();
  for (Index i = 0; i < kMaxDraws; ++i) {
    const Index slot = random.draw(node.num_slots());
    const std::int64_t old = plan.expert(slot);
    if (plan.count(old) < 2 || node.weight[old] / (plan.count(old) - 1) >= ceiling) continue;
    const std::int64_t expert = plan.expert(random.draw(node.num_slots()));
    if (expert == old || (node.apart && plan.holds(plan.gpu_of(slot), expert))) continue;
    plan.give(slot, expert);
    return true;
  }
  return false;
}

void shuffle(Plan& plan, Index swaps, Random& random) {
  for (Index i = 0; i < swaps; ++i) {
    const Index slot = random.draw(plan.node().num_slots());
    const Index other = random.draw(plan.node().num_slots());
    const Index gpu = plan.gpu_of(slot), other_gpu = plan.gpu_of(other);
    if (gpu == other_gpu || plan.expert(slot) == plan.expert(other)) continue;
    if (plan.node().apart && (plan.holds(other_gpu, plan.expert(slot)) ||
                              plan.holds(gpu, plan.expert(other)))) {
      continue;
    }
    plan.swap(slot, other);
  }
}

}  // namespace eplb::local
