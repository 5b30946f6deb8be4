// How tokens flow in a placement that is being designed, under all loads side by side.
//
// The split that makes the sum of squared GPU loads least makes the largest least too, so flows
// descend on that sum: between two hosts of an expert as many tokens as level them, and no more than
// are there.
#pragma once

#include <vector>

#include "annealing/placement.hpp"
#include "annealing/row_log.hpp"
#include "common/lanes.hpp"

namespace eplb::annealing {

class DesignFlows {
 public:
  // `weight` are loads over the load's mean GPU load, by expert and load.
  DesignFlows(const Placement& placement, Table<const double> weight);

  Index num_loads() const { return load_.columns(); }
  const LaneTable& flow() const { return flow_; }  // by slot, what it gets
  const LaneTable& load() const { return load_; }  // by GPU, what it gets, times its rate

  // Everything from the placement, with an equal part for each replica.
  void refill();
  // Other loads on the same placement; every expert keeps the parts of its split.
  void change_loads(Table<const double> fresh);
  // GPU loads anew, for rounding errors grow with each move; then all experts level their hosts, to
  // and fro so many times: what moved at the end reaches the start.
  void settle_all(Index times);

  // What the tokens around a move do, with all that it changes in a log: the experts on the GPUs
  // that the move touches level their hosts. Farther ones wait for the next `settle_all`.
  EPLB_INLINE void begin_move() {
    ++move_;
    flow_log_.clear();
    load_log_.clear();
  }
  // Slots p and q have exchanged their experts, and each takes its tokens along.
  EPLB_INLINE void swap(Index p, Index q);
  // Slot q is about to turn to another expert: notes all that this can change.
  EPLB_INLINE void note_transfer(Index q);
  // Slot q had a replica of expert `old`, whose other replicas share its tokens; the new one in q
  // gets none yet.
  EPLB_INLINE void transfer(Index q, Index old);
  // `fresh` is the expert with a new replica, or -1.
  EPLB_INLINE void settle_around(Index fresh);
  EPLB_INLINE void undo() {
    flow_log_.restore(flow_);
    load_log_.restore(load_);
  }
  // The GPUs whose loads the move has changed.
  std::span<const Index> touched() const { return load_log_.rows(); }

 private:
  struct Sweeps;

  EPLB_INLINE void note_slot(Index slot) {
    flow_log_.note(slot, flow_, move_);
    load_log_.note(gpu(slot), load_, move_);
  }
  EPLB_INLINE void add_near(Index expert) {
    near_mark_[expert] = move_;
    near_.push_back(expert);
  }
  EPLB_INLINE void list_near(Index fresh);
  EPLB_INLINE void level_hosts(Index expert);
  EPLB_INLINE void level(Index p, Index q);
  EPLB_INLINE void level_to_and_fro(std::span<const Index> experts) {
    for (Index i = 0; i < std::ssize(experts); ++i) level_hosts(experts[i]);
    for (Index i = std::ssize(experts) - 1; i >= 0; --i) level_hosts(experts[i]);
  }
  Index gpu(Index slot) const { return placement_.machine().gpu(slot); }
  double rate(Index slot) const { return placement_.machine().rate(gpu(slot)); }
  void add_up();

  const Placement& placement_;
  LaneTable weight_, flow_, load_;
  RowLog flow_log_, load_log_;
  Index move_ = 0;
  std::vector<Index> near_, near_mark_;  // experts around the move, and the last move of each
};

EPLB_INLINE void DesignFlows::swap(Index p, Index q) {
  load_log_.note(gpu(q), load_, move_);
  flow_log_.note(q, flow_, move_);
  load_log_.note(gpu(p), load_, move_);
  flow_log_.note(p, flow_, move_);
  Lanes *from_p = flow_[p], *from_q = flow_[q], *on_g = load_[gpu(p)], *on_h = load_[gpu(q)];
  const Lanes rate_g = all_lanes(rate(p)), rate_h = all_lanes(rate(q));
  for (Index i = 0; i < flow_.width(); ++i) {
    const Lanes x = from_p[i], y = from_q[i];
    from_p[i] = y;
    from_q[i] = x;
    on_g[i] += (y - x) * rate_g;
    on_h[i] += (x - y) * rate_h;
  }
}

EPLB_INLINE void DesignFlows::note_transfer(Index q) {
  load_log_.note(gpu(q), load_, move_);
  flow_log_.note(q, flow_, move_);
  for (const Index slot : placement_.copies(placement_.expert(q))) note_slot(slot);
}

EPLB_INLINE void DesignFlows::transfer(Index q, Index old) {
  const std::span<const Index> copies = placement_.copies(old);
  const Lanes part = all_lanes(1.0 / static_cast<double>(copies.size()));
  const Lanes rate_q = all_lanes(rate(q));
  for (Index i = 0; i < flow_.width(); ++i) {
    const Lanes tokens = flow_[q][i];
    flow_[q][i] = all_lanes(0.0);
    load_[gpu(q)][i] -= tokens * rate_q;
    for (const Index slot : copies) {
      flow_[slot][i] += tokens * part;
      load_[gpu(slot)][i] += tokens * part * all_lanes(rate(slot));
    }
  }
}

EPLB_INLINE void DesignFlows::list_near(Index fresh) {
  near_.clear();
  if (fresh >= 0) add_near(fresh);
  for (const Index gpu : touched()) {
    for (Index slot = placement_.machine().begin(gpu); slot < placement_.machine().end(gpu);
         ++slot) {
      const Index expert = placement_.expert(slot);
      if (placement_.count(expert) > 1 && near_mark_[expert] != move_) add_near(expert);
    }
  }
}

EPLB_INLINE void DesignFlows::level_hosts(Index expert) {
  const std::span<const Index> copies = placement_.copies(expert);
  for (std::size_t i = 0; i + 1 < copies.size(); ++i) {
    for (std::size_t j = i + 1; j < copies.size(); ++j) level(copies[i], copies[j]);
  }
}

// Levels the GPUs of two replicas of an expert by what these get.
EPLB_INLINE void DesignFlows::level(Index p, Index q) {
  const Index g = gpu(p), h = gpu(q);
  if (g == h) return;
  Lanes *from_p = flow_[p], *from_q = flow_[q], *on_g = load_[g], *on_h = load_[h];
  const Lanes rate_g = all_lanes(rate(p)), rate_h = all_lanes(rate(q));
  const Lanes share = all_lanes(1.0) / (rate_g + rate_h);
  for (Index i = 0; i < flow_.width(); ++i) {
    const Lanes most = from_p[i], least = -from_q[i];
    Lanes moved = share * (on_g[i] - on_h[i]);
    moved = moved > most ? most : moved;
    moved = moved < least ? least : moved;
    from_p[i] = most - moved;
    from_q[i] += moved;
    on_g[i] -= moved * rate_g;
    on_h[i] += moved * rate_h;
  }
}

EPLB_INLINE void DesignFlows::settle_around(Index fresh) {
  list_near(fresh);
  for (const Index expert : near_) {
    for (const Index slot : placement_.copies(expert)) note_slot(slot);
  }
  level_to_and_fro(near_);
}

}  // namespace eplb::annealing
