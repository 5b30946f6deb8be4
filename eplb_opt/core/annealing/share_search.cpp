#include "annealing/share_search.hpp"

#include "annealing/annealer.hpp"
#include "annealing/best_plans.hpp"
#include "annealing/share_effect.hpp"

namespace eplb::annealing {

namespace {

// Proposals between two looks at the true objective; the norm's slopes are renewed with them.
constexpr Index kSlice = 256;
// Slices after which loads are added up anew.
constexpr Index kRefresh = 16;

// Weights that `LoadNorm` asks for; its loads come from the rule instead.
std::vector<double> no_weights(Index num_experts, Index num_scenarios) {
  return std::vector<double>(num_experts * num_scenarios);
}

}  // namespace

// What all rules have in common.
class ShareSearch::Work {
 public:
  Work(const Machine& machine, const ShareLoads& loads, std::span<const Index> slots,
       Chance chance)
      : machine_(machine),
        values_(loads.values, machine.num_experts()),
        placement_(machine_, machine.num_experts(), slots),
        weights_(no_weights(machine.num_experts(), loads.values.columns())),
        norm_(placement_, {Table<const double>(weights_.data(), machine.num_experts(),
                                               loads.values.columns()),
                           loads.share, loads.worst}),
        best_(1, slots),
        proposer_(machine_, std::move(chance)) {}
  virtual ~Work() = default;

  virtual void refill() = 0;
  virtual void anneal(const ShareStretch& stretch, Index slices, Deadline deadline) = 0;

  void restart(std::span<const Index> slots) {
    placement_.reset(slots);
    refill();
    slices_ = 0;
  }

  const Placement& placement() const { return placement_; }
  const BestPlans& best() const { return best_; }
  const LoadNorm& norm() const { return norm_; }

 protected:
  Machine machine_;
  ShareValues values_;
  Placement placement_;
  std::vector<double> weights_;
  LoadNorm norm_;
  BestPlans best_;
  Proposer proposer_;
  Index slices_ = 0;  // since the last restart
};

namespace {

template <typename Rule>
class RuledWork : public ShareSearch::Work {
 public:
  RuledWork(const Rule& rule, const Machine& machine, const ShareLoads& loads,
            std::span<const Index> slots, Chance chance)
      : Work(machine, loads, slots, std::move(chance)),
        rule_(rule),
        effect_(rule_, values_, placement_) {
    effect_.refill(placement_, norm_);
  }

  void refill() override { effect_.refill(placement_, norm_); }

  void anneal(const ShareStretch& stretch, Index slices, Deadline deadline) override {
    Slices body{*this, stretch, slices, deadline};
    with_widest_vectors(body);
  }

 private:
  // Swaps and transfers, judged by the linearised norm.
  class Moves {
   public:
    Moves(RuledWork& work, const ShareStretch& stretch) : work_(work), stretch_(stretch) {}

    EPLB_INLINE const Placement& placement() const { return work_.placement_; }

    EPLB_INLINE Proposal propose() {
      limit_ = stretch_.temperature * work_.proposer_.threshold();
      return work_.proposer_.by_cost(work_.norm_.costs(), stretch_.transfers);
    }

    EPLB_INLINE bool accepts(const Proposal& proposal) {
      return work_.effect_.allows(placement(), proposal) &&
             work_.effect_.measure(placement(), work_.norm_, proposal) < limit_;
    }

    EPLB_INLINE void keep(const Proposal& proposal) {
      work_.effect_.make(work_.placement_, work_.norm_, proposal);
    }

    EPLB_INLINE void undo(const Proposal&) {}

   private:
    RuledWork& work_;
    ShareStretch stretch_;
    double limit_ = 0.0;
  };

  // Slices of them: after each the plan is looked at, and the norm linearised anew.
  struct Slices {
    RuledWork& work;
    ShareStretch stretch;
    Index num;
    Deadline deadline;

    EPLB_INLINE void run() {
      Moves moves(work, stretch);
      for (; num > 0 && !deadline.expired(); --num) {
        if (work.slices_ % kRefresh == 0) work.effect_.refill(work.placement_, work.norm_);
        if (work.slices_ == 0) offer();
        ++work.slices_;
        work.norm_.linearise(stretch.doublings);
        annealing::anneal(moves, kSlice);
        offer();
      }
    }

    EPLB_INLINE void offer() {
      work.best_.offer(work.norm_.objective(), 0, work.placement_.slots());
    }
  };

  Rule rule_;
  ShareEffect<Rule> effect_;
};

}  // namespace

ShareSearch::ShareSearch(const Machine& machine, const ShareRule& rule, const ShareLoads& loads,
                         std::span<const Index> slots, Chance chance)
    : most_copies_(std::visit([](const auto& kind) { return kind.most_copies(); }, rule)),
      work_(std::visit(
          [&](const auto& kind) -> std::unique_ptr<Work> {
            using Rule = std::decay_t<decltype(kind)>;
            return std::make_unique<RuledWork<Rule>>(kind, machine, loads, slots,
                                                     std::move(chance));
          },
          rule)) {}

ShareSearch::~ShareSearch() = default;

void ShareSearch::restart(std::span<const Index> slots) { work_->restart(slots); }

void ShareSearch::anneal(const ShareStretch& stretch, Index slices, Deadline deadline) {
  work_->anneal(stretch, slices, deadline);
}

const Placement& ShareSearch::placement() const { return work_->placement(); }
double ShareSearch::best() const { return work_->best().values()[0]; }
std::span<const Index> ShareSearch::best_slots() const { return work_->best().slots(0); }
double ShareSearch::largest_load() const { return work_->norm().largest(); }

std::vector<double> ShareSearch::loads() const {
  std::vector<double> all;
  const LaneTable& load = work_->norm().load();
  for (Index gpu = 0; gpu < load.rows(); ++gpu) {
    for (Index r = 0; r < load.columns(); ++r) all.push_back(load(gpu, r));
  }
  return all;
}

}  // namespace eplb::annealing
