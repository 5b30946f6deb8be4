#include "annealing/loss_search.hpp"

#include <cmath>

#include "annealing/annealer.hpp"

namespace eplb::annealing {

namespace {

// Transfers among kFine proposals.
constexpr Index kTransfers = 200;
// Proposals between two looks at the clock.
constexpr Index kSlice = 64;

class LossMoves {
 public:
  LossMoves(Placement& placement, LossLoads& loads, BestPlans& best, Proposer& proposer,
            const LossStretch& stretch)
      : placement_(placement),
        loads_(loads),
        best_(best),
        proposer_(proposer),
        stretch_(stretch),
        old_part_(2, loads.num_units()) {}

  EPLB_INLINE const Placement& placement() const { return placement_; }

  // Looks at all GPUs.
  EPLB_INLINE void begin() {
    for (Index gpu = 0; gpu < placement_.machine().num_gpus(); ++gpu) {
      loads_.look_at(gpu, stretch_.doublings);
    }
    renew_total();
  }

  EPLB_INLINE Proposal propose() {
    const Index q = proposer_.slot(), p = proposer_.neighbour(q);
    threshold_ = proposer_.threshold();
    return {proposer_.happens(kTransfers), p, q};
  }

  EPLB_INLINE bool accepts(const Proposal& proposal) {
    a_ = placement_.expert(proposal.p);
    b_ = placement_.expert(proposal.q);
    touched_.clear();
    move(proposal);
    if (!loads_.is_safe(a_) || !loads_.is_safe(b_)) return false;
    const double limit = stretch_.temperature * threshold_ * total_ * factor();
    return norm_ * look_around() < limit && loads_.most_taken() <= stretch_.most;
  }

  EPLB_INLINE void keep(const Proposal&) {
    renew_total();
    best_.offer(loads_.peak(), 0, placement_.slots());
  }

  EPLB_INLINE void undo(const Proposal& proposal) {
    if (proposal.is_transfer) {
      placement_.transfer_back(proposal.q, b_);
    } else {
      placement_.swap(proposal.p, proposal.q);
      loads_.replace(proposal.p, b_, a_);
    }
    loads_.replace(proposal.q, a_, b_);
    if (touched_.empty()) return;
    for (std::size_t i = 0; i < touched_.size(); ++i) loads_.gpu(touched_[i]) = old_[i];
    copy(old_part_[0], loads_.part()[a_]);
    copy(old_part_[1], loads_.part()[b_]);
  }

 private:
  EPLB_INLINE void move(const Proposal& proposal) {
    if (proposal.is_transfer) {
      placement_.transfer(proposal.q, a_);
    } else {
      placement_.swap(proposal.p, proposal.q);
      loads_.replace(proposal.p, a_, b_);
    }
    loads_.replace(proposal.q, b_, a_);
  }

  // The GPUs that have one of the two experts, anew; what that adds to the powers.
  EPLB_INLINE double look_around() {
    copy(loads_.part()[a_], old_part_[0]);
    copy(loads_.part()[b_], old_part_[1]);
    loads_.divide(a_);
    loads_.divide(b_);
    gather();
    old_.clear();
    double added = 0.0;
    for (const Index gpu : touched_) {
      old_.push_back(loads_.gpu(gpu));
      loads_.look_at(gpu, stretch_.doublings);
      added += loads_.gpu(gpu).powers - old_.back().powers;
    }
    return added;
  }

  void gather() {
    for (const Index expert : {a_, b_}) {
      for (const Index slot : placement_.copies(expert)) {
        touched_.push_back(placement_.machine().gpu(slot));
      }
    }
    std::ranges::sort(touched_);
    touched_.erase(std::ranges::unique(touched_).begin(), touched_.end());
  }

  EPLB_INLINE void copy(const Lanes* from, Lanes* to) const {
    std::copy_n(from, old_part_.width(), to);
  }

  void renew_total() {
    total_ = norm_ = loads_.powers();
    for (int i = 0; i < stretch_.doublings; ++i) norm_ = std::sqrt(norm_);
  }

  double factor() const { return static_cast<double>(Index{1} << stretch_.doublings); }

  Placement& placement_;
  LossLoads& loads_;
  BestPlans& best_;
  Proposer& proposer_;
  LossStretch stretch_;
  double total_ = 0.0, norm_ = 0.0;  // the sum of all powers, and its root
  double threshold_ = 0.0;
  Index a_ = -1, b_ = -1;       // the experts that the proposal moves
  std::vector<Index> touched_;  // GPUs, in their order
  std::vector<LossRow> old_;
  LaneTable old_part_;
};

struct Slices {
  LossMoves moves;
  Index proposals;
  Deadline deadline;

  EPLB_INLINE void run() {
    moves.begin();
    for (; proposals > 0 && !deadline.expired(); proposals -= kSlice) {
      anneal(moves, std::min(proposals, kSlice));
    }
  }
};

}  // namespace

LossSearch::LossSearch(const Machine& machine, const Losses& losses, std::span<const Index> slots,
                       Chance chance)
    : machine_(machine),
      placement_(machine_, std::ssize(losses.weight), slots),
      loads_(placement_, losses),
      best_(1, slots),
      proposer_(machine_, std::move(chance)) {
  loads_.refill();
  for (Index gpu = 0; gpu < machine_.num_gpus(); ++gpu) loads_.look_at(gpu, 0);
  best_.offer(loads_.peak(), 0, slots);
}

void LossSearch::restart() {
  placement_.reset(best_.slots(0));
  loads_.refill();
}

void LossSearch::anneal(const LossStretch& stretch, Index proposals, Deadline deadline) {
  Slices slices{{placement_, loads_, best_, proposer_, stretch}, proposals, deadline};
  with_widest_vectors(slices);
}

}  // namespace eplb::annealing
