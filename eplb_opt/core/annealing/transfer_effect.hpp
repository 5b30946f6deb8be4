// What a copy transfer does to the loads of all GPUs that have one of its two experts.
#pragma once

#include <algorithm>
#include <vector>

#include "annealing/load_norm.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

class TransferEffect {
 public:
  explicit TransferEffect(const LoadNorm& norm)
      : after_(norm.load().rows(), norm.load().columns()) {}

  // Looks at a transfer; what it adds to the costs.
  EPLB_INLINE double measure(const Placement& placement, const LoadNorm& norm,
                             const Proposal& proposal);
  // Makes the transfer that was looked at last.
  EPLB_INLINE void make(Placement& placement, LoadNorm& norm, const Proposal& proposal);

 private:
  // The slots of both experts, in their order: loads are added up in it, GPU by GPU.
  void gather(std::span<const Index> some, std::span<const Index> others) {
    slots_.assign(some.begin(), some.end());
    slots_.insert(slots_.end(), others.begin(), others.end());
    std::ranges::sort(slots_);
  }

  LaneTable after_;  // loads of the GPUs touched, [num_gpus, num_scenarios]
  std::vector<double> cost_;
  std::vector<Index> slots_, gpus_;
};

EPLB_INLINE double TransferEffect::measure(const Placement& placement, const LoadNorm& norm,
                                           const Proposal& proposal) {
  const Index fresh = placement.expert(proposal.p), old = placement.expert(proposal.q);
  const Lanes more = all_lanes(1.0 / static_cast<double>(placement.count(fresh) + 1));
  const Lanes fewer = all_lanes(1.0 / static_cast<double>(placement.count(old) - 1));
  const Index width = after_.width();
  gather(placement.copies(old), placement.copies(fresh));
  gpus_.clear();
  for (const Index slot : slots_) {
    const Index gpu = placement.machine().gpu(slot), expert = placement.expert(slot);
    if (gpus_.empty() || gpus_.back() != gpu) {
      std::copy_n(norm.load()[gpu], width, after_[std::ssize(gpus_)]);
      gpus_.push_back(gpu);
    }
    const bool gets_more = slot == proposal.q || expert == fresh;
    const Lanes part = gets_more ? more : fewer;
    const Lanes *whole = norm.weight()[gets_more ? fresh : old], *now = norm.replica()[expert];
    Lanes* after = after_[std::ssize(gpus_) - 1];
    for (Index i = 0; i < width; ++i) after[i] += whole[i] * part - now[i];
  }
  cost_.clear();
  double added = 0.0;
  for (Index i = 0; i < std::ssize(gpus_); ++i) {
    cost_.push_back(norm.cost_of(gpus_[i], after_[i]));
    added += cost_.back() - norm.cost(gpus_[i]);
  }
  return added;
}

EPLB_INLINE void TransferEffect::make(Placement& placement, LoadNorm& norm,
                                      const Proposal& proposal) {
  const Index fresh = placement.expert(proposal.p), old = placement.expert(proposal.q);
  placement.transfer(proposal.q, fresh);
  norm.divide(old);
  norm.divide(fresh);
  for (Index i = 0; i < std::ssize(gpus_); ++i) {
    norm.set_gpu(gpus_[i], after_[i], cost_[i]);
  }
}

}  // namespace eplb::annealing
