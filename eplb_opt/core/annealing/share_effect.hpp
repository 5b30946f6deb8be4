// What a move does to all GPU loads where an expert's replicas need not carry equal parts.
//
// A move changes where the replicas of two experts stand, or how many there are. Their parts are
// asked of the rule anew, and the loads of the GPUs for which they differ follow.
#pragma once

#include <array>
#include <vector>

#include "annealing/load_norm.hpp"
#include "annealing/proposal.hpp"

namespace eplb::annealing {

// The loads that replicas put on their GPUs: of each expert a row for each column of the rule.
class ShareValues {
 public:
  // `values` has the rows of expert after expert; relative to the mean GPU load of each scenario.
  ShareValues(Table<const double> values, Index num_experts)
      : columns_(values.rows() / num_experts), values_(values.rows(), values.columns()) {
    for (Index row = 0; row < values.rows(); ++row) {
      for (Index r = 0; r < values.columns(); ++r) values_(row, r) = values(row, r);
    }
  }

  Index columns() const { return columns_; }
  Index width() const { return values_.width(); }
  Index num_scenarios() const { return values_.columns(); }
  EPLB_INLINE const Lanes* of(Index expert, Index column) const {
    return values_[expert * columns_ + column];
  }

 private:
  Index columns_;
  LaneTable values_;
};

// The columns of all replicas, by slot.
template <typename Rule>
class ShareEffect {
 public:
  ShareEffect(const Rule& rule, const ShareValues& values, const Placement& placement)
      : rule_(&rule),
        values_(&values),
        column_(placement.num_slots()),
        place_(placement.machine().num_gpus(), -1),
        after_(placement.machine().num_gpus(), values.num_scenarios()) {
    for (Side& side : sides_) {
      side.slots.resize(placement.num_slots() + 1);
      side.column.resize(placement.num_slots() + 1);
    }
  }

  // All columns, and the loads that follow, from the placement.
  EPLB_INLINE void refill(const Placement& placement, LoadNorm& norm) {
    LaneTable load(norm.load().rows(), norm.load().columns());
    for (Index expert = 0; expert < placement.num_experts(); ++expert) {
      look(placement, sides_[0], expert, -1, -1);
      store(sides_[0]);
    }
    for (Index slot = 0; slot < placement.num_slots(); ++slot) {
      Lanes* sum = load[placement.machine().gpu(slot)];
      const Lanes* part = values_->of(placement.expert(slot), column_[slot]);
      for (Index i = 0; i < load.width(); ++i) sum[i] += part[i];
    }
    norm.set_loads(load);
  }

  // Whether no expert gets more replicas than the rule knows.
  EPLB_INLINE bool allows(const Placement& placement, const Proposal& proposal) const {
    return !proposal.is_transfer ||
           placement.count(placement.expert(proposal.p)) < rule_->most_copies();
  }

  // Looks at a move; what it adds to the costs.
  EPLB_INLINE double measure(const Placement& placement, const LoadNorm& norm,
                             const Proposal& proposal) {
    const Index p = proposal.p, q = proposal.q;
    const Index a = placement.expert(p), b = placement.expert(q);
    gpus_.clear();
    if (proposal.is_transfer) {
      look(placement, sides_[0], a, -1, q);
      look(placement, sides_[1], b, q, -1);
      add(placement, norm, q, b, -1.0, column_[q]);
    } else if (rule_->is_fixed(placement.count(a)) && rule_->is_fixed(placement.count(b))) {
      // Most moves are of this kind: the two exchange their columns, and nothing else changes.
      carry(placement, norm, q, p);
      carry(placement, norm, p, q);
      return costs_added(norm);
    } else {
      look(placement, sides_[0], a, p, q);
      look(placement, sides_[1], b, q, p);
      add(placement, norm, p, a, -1.0, column_[p]);
      add(placement, norm, q, b, -1.0, column_[q]);
    }
    for (const Side& side : sides_) {
      for (Index i = 0; i < side.count; ++i) {
        const Index slot = side.slots[i], column = side.column[i];
        const bool stands = placement.expert(slot) == side.expert;
        if (stands && column == column_[slot]) continue;
        if (stands) add(placement, norm, slot, side.expert, -1.0, column_[slot]);
        add(placement, norm, slot, side.expert, 1.0, column);
      }
    }
    return costs_added(norm);
  }

  // Makes the move that was looked at last.
  EPLB_INLINE void make(Placement& placement, LoadNorm& norm, const Proposal& proposal) {
    const Index p = proposal.p, q = proposal.q;
    if (proposal.is_transfer) {
      placement.transfer(q, placement.expert(p));
      for (const Side& side : sides_) store(side);
    } else if (rule_->is_fixed(placement.count(placement.expert(p))) &&
               rule_->is_fixed(placement.count(placement.expert(q)))) {
      placement.swap(p, q);
      std::swap(column_[p], column_[q]);
    } else {
      placement.swap(p, q);
      for (const Side& side : sides_) store(side);
    }
    for (Index i = 0; i < std::ssize(gpus_); ++i) norm.set_gpu(gpus_[i], after_[i], cost_[i]);
  }

 private:
  // An expert's replicas after a move: their slots, ascending, and their columns.
  struct Side {
    Index expert = 0, count = 0;
    std::vector<Index> slots, column;
  };

  // The replicas of an expert without the slot `left`, and with the slot `entered`; -1 is none.
  EPLB_INLINE void look(const Placement& placement, Side& side, Index expert, Index left,
                        Index entered) {
    side.expert = expert;
    Index* slots = side.slots.data();
    Index count = 0;
    const auto insert = [&](Index slot) {
      Index at = count++;
      for (; at > 0 && slots[at - 1] > slot; --at) slots[at] = slots[at - 1];
      slots[at] = slot;
    };
    for (const Index slot : placement.copies(expert)) {
      if (slot != left) insert(slot);
    }
    if (entered >= 0) insert(entered);
    side.count = count;
    rule_->columns({slots, static_cast<std::size_t>(count)}, side.column.data());
  }

  EPLB_INLINE void store(const Side& side) {
    for (Index i = 0; i < side.count; ++i) column_[side.slots[i]] = side.column[i];
  }

  // Adds a replica's load to its GPU, or takes it away.
  EPLB_INLINE void add(const Placement& placement, const LoadNorm& norm, Index slot, Index expert,
                       double sign, Index column) {
    Lanes* after = after_[at(norm, placement.machine().gpu(slot))];
    const Lanes* part = values_->of(expert, column);
    const Lanes factor = all_lanes(sign);
    for (Index i = 0; i < values_->width(); ++i) after[i] += part[i] * factor;
  }

  // What one slot loses and what it gets from another that exchanges experts with it.
  EPLB_INLINE void carry(const Placement& placement, const LoadNorm& norm, Index from, Index to) {
    Lanes* after = after_[at(norm, placement.machine().gpu(to))];
    const Lanes* more = values_->of(placement.expert(from), column_[from]);
    const Lanes* less = values_->of(placement.expert(to), column_[to]);
    for (Index i = 0; i < values_->width(); ++i) after[i] += more[i] - less[i];
  }

  // The row of a GPU among those that the move touches.
  EPLB_INLINE Index at(const LoadNorm& norm, Index gpu) {
    if (place_[gpu] < 0) {
      place_[gpu] = std::ssize(gpus_);
      std::copy_n(norm.load()[gpu], values_->width(), after_[place_[gpu]]);
      gpus_.push_back(gpu);
    }
    return place_[gpu];
  }

  EPLB_INLINE double costs_added(const LoadNorm& norm) {
    double added = 0.0;
    cost_.clear();
    for (Index i = 0; i < std::ssize(gpus_); ++i) {
      place_[gpus_[i]] = -1;
      cost_.push_back(norm.cost_of(gpus_[i], after_[i]));
      added += cost_.back() - norm.cost(gpus_[i]);
    }
    return added;
  }

  const Rule* rule_;
  const ShareValues* values_;
  std::vector<Index> column_;
  std::array<Side, 2> sides_;
  std::vector<Index> gpus_, place_;  // the GPUs touched, and where they are among them
  LaneTable after_;                  // their loads, [num_gpus, num_scenarios]
  std::vector<double> cost_;
};

}  // namespace eplb::annealing
