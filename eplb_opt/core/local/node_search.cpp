#include "local/node_search.hpp"

#include <algorithm>

#include "local/kicks.hpp"
#include "local/renew.hpp"
#include "local/scan.hpp"

namespace eplb::local {

namespace {

// Kicks in a row without a better plan, after which the search goes back to the best one.
constexpr Index kPatience = 30;
// While the gap is larger than one part in so many, the counts are to blame: less patience, and every
// other time a plan from other counts.
constexpr std::int64_t kWideGap = 1000;
constexpr Index kWidePatience = 8;
// Swaps of a kick that leaves the counts alone.
constexpr Index kSwaps = 2;
// Packings of other counts that are polished, and the steps that each gets.
constexpr std::size_t kScanKeep = 8;
constexpr Index kScanSteps = 100;
// Seed of a seed: the generator's state must not be zero.
constexpr std::uint64_t kSalt = 88172645463325253U;

Random seeded(std::int64_t seed) {
  return Random(static_cast<std::int64_t>(kSalt + static_cast<std::uint64_t>(seed)));
}

}  // namespace

NodeSearch::NodeSearch(Node node, Experts slots, std::int64_t seed)
    : node_(std::move(node)),
      plan_(node_, slots),
      best_slots_(slots.begin(), slots.end()),
      best_(plan_.load(plan_.heaviest())),
      random_(seeded(seed)),
      sorted_(node_),
      deals_(Deals::of(node_.slots_per_gpu)) {}

void NodeSearch::restart(Experts slots) {
  plan_.assign(slots);
  const std::int64_t reached = plan_.load(plan_.heaviest());
  if (reached >= best_) return;
  best_ = reached;
  std::ranges::copy(plan_.slots(), best_slots_.begin());
}

NodeSearch::Taken NodeSearch::advance(Index steps, const Goal& goal, const Deadline& deadline) {
  for (Index taken = 0; taken < steps; ++taken) {
    if (taken > 0 && deadline.expired()) return {taken, false};
    if (!step(goal)) return {taken, true};
  }
  return {steps, false};
}

// One improvement or one kick; false where the search stopped by itself.
bool NodeSearch::step(const Goal& goal) {
  const Index heavy = plan_.heaviest();
  const std::int64_t reached = plan_.load(heavy);
  const bool is_done = reached <= goal.target || best_ <= goal.target;
  const bool may_kick = !is_done && !goal.only_exchange;
  if (!is_done && exchange(heavy) >= 0) return true;
  if (may_kick && !deals_.is_empty() && is_promising(reached, goal.target) &&
      redeal_any(plan_, deals_, heavy, random_)) {
    return true;
  }
  settle(goal.target);
  if (may_kick) kick();
  return may_kick;
}

const SortedSubsets& NodeSearch::sorted_subsets(Index gpu) {
  sorted_.notice(plan_);
  if (sorted_.is_stale(gpu)) sorted_.refresh(plan_, gpu);
  return sorted_;
}

Index NodeSearch::exchange(Index heavy) {
  sorted_.notice(plan_);
  const Exchange best = best_exchange(plan_, sorted_, heavy);
  if (best.other >= 0) apply(best, heavy, plan_);
  return best.other;
}

// Whether the best plan is so far above the target that its counts are to blame.
bool NodeSearch::is_wide(std::int64_t target) const { return best_ - target > target / kWideGap; }

// Whether a plan deserves a re-partition, which costs as much as a hundred exchanges.
bool NodeSearch::is_promising(std::int64_t reached, std::int64_t target) const {
  return !is_wide(target) || reached - best_ <= (best_ - target) / 8;
}

// At a local optimum: keep it where it is the best, or go back to the best in time.
void NodeSearch::settle(std::int64_t target) {
  const std::int64_t reached = plan_.load(plan_.heaviest());
  if (reached < best_) {
    best_ = reached;
    failures_ = 0;
    std::ranges::copy(plan_.slots(), best_slots_.begin());
    return;
  }
  ++failures_;
  if (failures_ >= (is_wide(target) ? kWidePatience : kPatience)) go_back(target);
}

void NodeSearch::go_back(std::int64_t target) {
  failures_ = 0;
  std::vector<std::int64_t> slots(best_slots_);
  // What a renewal finds takes the place of the best plan's slots.
  if (is_wide(target) && random_.draw(2) != 0) renew(node_, target, random_, slots);
  plan_.assign(slots);
}

void NodeSearch::kick() {
  if (random_.draw(2) == 0 || !transfer(plan_, best_, random_)) shuffle(plan_, kSwaps, random_);
}

bool NodeSearch::scan(std::int64_t target, const Deadline& deadline) {
  if (!is_scanned_) {
    to_try_ = scan_counts(node_, target, kScanKeep);
    std::ranges::reverse(to_try_);
    is_scanned_ = true;
  }
  for (; !to_try_.empty() && !deadline.expired(); to_try_.pop_back()) {
    restart(to_try_.back());
    advance(kScanSteps, {target, true}, deadline);
  }
  const std::vector<std::int64_t> best(best_slots_);
  restart(best);
  return to_try_.empty();
}

}  // namespace eplb::local
