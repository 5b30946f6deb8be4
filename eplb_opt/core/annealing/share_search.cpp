#include "annealing/share_search.hpp"

#include <optional>
#include <type_traits>

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
       Chance chance, const CrossingTerms* crossing, const PlanInForce& in_force, Index num_kept,
       bool is_nearest)
      : machine_(machine),
        values_(loads.values, machine.num_experts()),
        placement_(machine_, machine.num_experts(), slots),
        weights_(no_weights(machine.num_experts(), loads.values.columns())),
        norm_(placement_, {Table<const double>(weights_.data(), machine.num_experts(),
                                               loads.values.columns()),
                           loads.share, loads.worst}),
        in_force_(in_force),
        best_(num_kept, slots),
        proposer_(machine_, std::move(chance)) {
    if (crossing != nullptr) crossing_.emplace(placement_, *crossing, is_nearest);
    moves_ = in_force_.num_moves(placement_);
  }
  virtual ~Work() = default;

  virtual void refill() = 0;
  virtual void anneal(const ShareStretch& stretch, Index slices, Deadline deadline) = 0;

  void restart(std::span<const Index> slots) {
    placement_.reset(slots);
    moves_ = in_force_.num_moves(placement_);
    refill();
    slices_ = 0;
  }

  const Placement& placement() const { return placement_; }
  const BestPlans& best() const { return best_; }
  const LoadNorm& norm() const { return norm_; }
  double away() const { return crossing_ ? crossing_->away() : 0.0; }

 protected:
  double objective() const {
    return crossing_ ? norm_.objective() + crossing_->price() * crossing_->away()
                     : norm_.objective();
  }

  Machine machine_;
  ShareValues values_;
  Placement placement_;
  std::vector<double> weights_;
  LoadNorm norm_;
  PlanInForce in_force_;
  BestPlans best_;
  Index moves_ = 0;  // from the plan in force, now
  Proposer proposer_;
  std::optional<Crossing> crossing_;  // where it has a price
  Index slices_ = 0;                  // since the last restart
};

namespace {

template <typename Rule>
class RuledWork : public ShareSearch::Work {
 public:
  RuledWork(const Rule& rule, const Machine& machine, const ShareLoads& loads,
            std::span<const Index> slots, Chance chance, const CrossingTerms* crossing,
            const PlanInForce& in_force, Index num_kept)
      : Work(machine, loads, slots, std::move(chance), crossing, in_force, num_kept,
             std::is_same_v<Rule, shares::Nearest>),
        rule_(rule),
        effect_(rule_, values_, placement_) {
    effect_.refill(placement_, norm_);
  }

  void refill() override {
    effect_.refill(placement_, norm_);
    if (crossing_) crossing_->refill();
  }

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
      const Proposal proposal = work_.proposer_.by_cost(work_.norm_.costs(), stretch_.transfers);
      return work_.crossing_ ? across_nodes(proposal, *work_.crossing_) : proposal;
    }

    EPLB_INLINE bool accepts(const Proposal& proposal) {
      if (!work_.effect_.allows(placement(), proposal)) return false;
      if (work_.in_force_.exists()) {
        moved_ = work_.in_force_.added_by(placement(), proposal);
        limit_ -= stretch_.price * moved_;
      }
      if (work_.crossing_) {
        const double added = work_.crossing_->measure(proposal);
        if (!work_.crossing_->allows(added)) return false;
        limit_ -= work_.crossing_->price() * added;
      }
      return work_.effect_.measure(placement(), work_.norm_, proposal) < limit_;
    }

    EPLB_INLINE void keep(const Proposal& proposal) {
      if (work_.crossing_) work_.crossing_->make();
      work_.moves_ += moved_;
      work_.effect_.make(work_.placement_, work_.norm_, proposal);
    }

    EPLB_INLINE void undo(const Proposal&) {}

   private:
    // The proposal, or in its place one that changes loads within a node alone, or brings an
    // expert to a node without it.
    EPLB_INLINE Proposal across_nodes(Proposal proposal, const Crossing& crossing) {
      Proposer& proposer = work_.proposer_;
      if (!proposal.is_transfer) {
        if (proposer.happens(crossing.near())) {
          proposal.q = on_node(crossing, crossing.node(proposal.p));
        }
      } else if (proposer.happens(crossing.settling())) {
        const Index expert = placement().expert(proposal.p);
        const Index first = proposer.within(0, crossing.num_nodes());
        for (Index i = 0; i < crossing.num_nodes(); ++i) {
          const Index node = (first + i) % crossing.num_nodes();
          if (crossing.stands_on(expert, node)) continue;
          proposal.q = on_node(crossing, node);
          break;
        }
      }
      return proposal;
    }

    EPLB_INLINE Index on_node(const Crossing& crossing, Index node) {
      return work_.proposer_.within(crossing.node_begin(node), crossing.node_size(node));
    }

    RuledWork& work_;
    ShareStretch stretch_;
    double limit_ = 0.0;
    int moved_ = 0;
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
        if (work.slices_ % kRefresh == 0) work.refill();
        if (work.slices_ == 0) offer();
        ++work.slices_;
        work.norm_.linearise(stretch.doublings);
        annealing::anneal(moves, kSlice);
        offer();
      }
    }

    EPLB_INLINE void offer() {
      work.best_.offer(work.objective(), work.moves_, work.placement_.slots());
    }
  };

  Rule rule_;
  ShareEffect<Rule> effect_;
};

}  // namespace

ShareSearch::ShareSearch(const Machine& machine, const ShareRule& rule, const ShareLoads& loads,
                         std::span<const Index> slots, Chance chance,
                         const CrossingTerms* crossing, const PlanInForce& in_force, Index num_kept)
    : most_copies_(std::visit([](const auto& kind) { return kind.most_copies(); }, rule)),
      work_(std::visit(
          [&](const auto& kind) -> std::unique_ptr<Work> {
            using Rule = std::decay_t<decltype(kind)>;
            return std::make_unique<RuledWork<Rule>>(kind, machine, loads, slots,
                                                     std::move(chance), crossing, in_force,
                                                     num_kept);
          },
          rule)) {}

ShareSearch::~ShareSearch() = default;

void ShareSearch::restart(std::span<const Index> slots) { work_->restart(slots); }

void ShareSearch::anneal(const ShareStretch& stretch, Index slices, Deadline deadline) {
  work_->anneal(stretch, slices, deadline);
}

const Placement& ShareSearch::placement() const { return work_->placement(); }
const BestPlans& ShareSearch::best() const { return work_->best(); }
double ShareSearch::largest_load() const { return work_->norm().largest(); }
double ShareSearch::away() const { return work_->away(); }

std::vector<double> ShareSearch::loads() const {
  std::vector<double> all;
  const LaneTable& load = work_->norm().load();
  for (Index gpu = 0; gpu < load.rows(); ++gpu) {
    for (Index r = 0; r < load.columns(); ++r) all.push_back(load(gpu, r));
  }
  return all;
}

}  // namespace eplb::annealing
