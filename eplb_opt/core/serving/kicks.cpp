#include "serving/kicks.hpp"

namespace eplb::serving {

namespace {

constexpr int kDraws = 8;  // random exchanges of which the mildest is taken
// While the excess is above one part in so many, every other kick changes the counts.
constexpr std::int64_t kWide = 1000;
constexpr int kTransferDraws = 30;  // pairs of experts drawn before a transfer is given up

// Perhaps the other GPU is the heaviest afterwards.
void push_aside(const Plan& plan, Index heavy, Random& random) {
  std::int64_t least = plan.load[heavy] * 2;
  Index from = -1, to = -1;
  for (int i = 0; i < kDraws; ++i) {
    const Index p = heavy + plan.num_gpus() * random.draw(plan.slots_per_gpu());
    const Index q = random.draw(plan.num_slots());
    const std::int64_t moved = plan.size[p] - plan.size[q];
    const std::int64_t reached = plan.load[plan.gpu_of(q)] + moved;
    if (moved > 0 && plan.gpu_of(q) != heavy && reached < least) least = reached, from = p, to = q;
  }
  if (from >= 0) plan.swap(from, to);
}

// Give all replicas of an expert another load.
void resize(const Plan& plan, std::int64_t expert, std::int64_t fresh) {
  for (Index p = 0; p < plan.num_slots(); ++p) {
    if (plan.expert[p] != expert) continue;
    plan.load[plan.gpu_of(p)] += fresh - plan.size[p];
    plan.size[p] = fresh;
  }
}

// Whether two experts were drawn of which one can give; no replica grows to `ceiling`.
bool transfer(const Plan& plan, std::span<const std::int64_t> weight, std::int64_t ceiling,
              Random& random) {
  for (int i = 0; i < kTransferDraws; ++i) {
    const Index p = random.draw(plan.num_slots());
    const std::int64_t donor = plan.expert[p];
    const std::int64_t taker = plan.expert[random.draw(plan.num_slots())];
    if (taker == donor || plan.count[donor] < 2) continue;
    if (weight[donor] / (plan.count[donor] - 1) >= ceiling) continue;
    plan.expert[p] = taker;
    --plan.count[donor];
    ++plan.count[taker];
    resize(plan, donor, weight[donor] / plan.count[donor]);
    resize(plan, taker, weight[taker] / plan.count[taker]);
    return true;
  }
  return false;
}

}  // namespace

void kick(const Plan& plan, std::span<const std::int64_t> weight, std::int64_t target,
          Random& random) {
  const Index heavy = plan.heaviest();
  const std::int64_t peak = plan.load[heavy];
  const bool is_wide = !weight.empty() && peak - target > target / kWide;
  if (is_wide && random.draw(2) == 0 && transfer(plan, weight, peak, random)) return;
  push_aside(plan, heavy, random);
}

}  // namespace eplb::serving
