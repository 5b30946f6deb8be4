// Replicas that are turned into others: one move, which changes two experts' counts.
#pragma once

#include <vector>

#include "near/action.hpp"
#include "near/state.hpp"

namespace eplb::near {

// Slots whose expert has others, as columns.
struct Copies {
  Index num = 0;
  std::vector<Index> slot, gpu;
  std::vector<std::int32_t> left;   // room of the slot's GPU once the slot is empty
  std::vector<std::int32_t> above;  // what the GPU is above the level
  std::vector<std::int32_t> cost;   // by which the other replicas, without it, add to that
  std::vector<std::int32_t> expert;
};

class Turns {
 public:
  explicit Turns(const Shape& shape);

  // The best turn that takes load from the heavy GPU, where it is better than `best`: one of its
  // replicas becomes another expert's, or a replica elsewhere becomes one of an expert that it
  // holds. Only experts that keep a replica lose one.
  void find(State& state, Index heavy, Action& best);

  // One more replica in an empty slot, of the expert for which it does most. Nothing changes where no
  // expert may stand there.
  Action fill(const State& state, Index at);

  // A slot for an expert that stands nowhere: an empty one, or, where none is, one whose expert has
  // others.
  Action settle(const State& state, std::int32_t id);

  // One more replica of an expert, in the place of one whose expert keeps replicas of at most that
  // size. Nothing changes where there is none.
  Action split(const State& state, std::int32_t id, std::int32_t limit);

 private:
  void list_copies(const State& state, Index heavy);
  void add_copy(const State& state, Index at, Index gpu);
  void sum_reliefs(const State& state);
  void find_here(State& state, Index heavy, Action& best);
  void find_elsewhere(State& state, Index heavy, Action& best);
  bool is_promising(std::int64_t gain, const Action& best) const;
  void offer(State& state, Index at, std::int32_t id, Action& best) const;

  Shape shape_;
  Copies copies_;
  std::vector<std::int32_t> above_;    // of every GPU
  std::vector<std::int32_t> cost_of_;  // of every expert, of all its replicas together
  std::vector<std::int32_t> relief_;   // of every expert, were it to get one more replica
};

}  // namespace eplb::near
