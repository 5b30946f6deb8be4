#include "serving/node_search.hpp"

#include "serving/folded.hpp"
#include "serving/kicks.hpp"
#include "serving/sweep.hpp"

namespace eplb::serving {

namespace {

// The same for every layer, so that a layer's plan depends on its loads alone.
constexpr std::int64_t kSeed = 88172645463325252;
// GPUs of a node beyond which there are no sweeps: leveling a great many takes too long for one step.
constexpr Index kMostSwept = 256;
// Sweeps end when one takes less than one part in so many off the excess.
constexpr std::int64_t kSweepGain = 4;

}  // namespace

NodeSearch::NodeSearch(const NodeShape& shape, std::span<const std::int64_t> placed,
                       std::span<const std::int64_t> weight, std::int64_t* memory, Counts counts)
    : weight_(weight),
      plan_(shape, memory),
      saved_(shape, memory + shape.plan_size()),
      random_(kSeed),
      is_swept_(shape.num_gpus > kMostSwept),
      counts_(counts) {
  count_replicas(placed);
  weigh_replicas(placed);
  saved_load_ = reached_ = std::max<std::int64_t>(plan_.largest_load(), 1);
  dropped_ = serving::dropped_bits(reached_);
}

void NodeSearch::count_replicas(std::span<const std::int64_t> placed) {
  std::ranges::fill(plan_.count, 0);
  for (const std::int64_t expert : placed) ++plan_.count[expert];
}

void NodeSearch::weigh_replicas(std::span<const std::int64_t> placed) {
  const Index num_gpus = plan_.num_gpus();
  Index slot = 0;
  for (Index gpu = 0; gpu < num_gpus; ++gpu) {
    std::int64_t load = 0;
    for (Index at = gpu; at < plan_.num_slots(); at += num_gpus) {
      const std::int64_t expert = placed[slot++], count = plan_.count[expert];
      std::int64_t size = weight_[expert];
      if (count > 1) size /= count;  // a division takes as long as all the rest
      plan_.expert[at] = expert;
      plan_.size[at] = size;
      load += size;
      largest_size_ = std::max(largest_size_, size);
    }
    plan_.load[gpu] = load;
    total_ += load;
  }
}

void NodeSearch::start_as(const NodeSearch& other) {
  plan_.copy_from(other.plan_);
  saved_load_ = reached_ = other.reached_;
  total_ = other.total_;
  largest_size_ = other.largest_size_;
  dropped_ = other.dropped_;
}

void NodeSearch::step(std::int64_t target, Scratch& scratch) {
  const bool may_change = counts_ == Counts::change;
  if (plan_.num_slots() == 2 * plan_.num_gpus()) {
    // With its counts given, a folded plan is as good as it gets.
    if (may_change) shift_copy(plan_, saved_, weight_, random_);
  } else if (!is_swept_) {
    sweep_once(target, scratch);
  } else if (!scratch.exchange.one_for_one(plan_, target, dropped_) &&
             !scratch.exchange.two_for_two(plan_, target, dropped_)) {
    settle();
    kick(plan_, may_change ? weight_ : std::span<const std::int64_t>(), target, random_);
  }
  reached_ = std::min(saved_load_, plan_.largest_load());
}

void NodeSearch::sweep_once(std::int64_t target, Scratch& scratch) {
  const std::int64_t before = plan_.largest_load();
  sweep(plan_, scratch.order);
  // When much of the excess stays, it is for the heaviest GPU to look at all others.
  is_swept_ = (before - plan_.largest_load()) * kSweepGain < before - target;
}

// At a local optimum: keep it where none was better, else go back to the best.
void NodeSearch::settle() {
  const std::int64_t peak = plan_.largest_load();
  if (peak <= saved_load_) {
    saved_load_ = peak;
    saved_.copy_from(plan_);
  } else {
    plan_.copy_from(saved_);
  }
}

}  // namespace eplb::serving
