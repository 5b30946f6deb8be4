// Exchanges that take load from one GPU above the level: with one other, or around three.
#pragma once

#include <span>
#include <vector>

#include "near/action.hpp"
#include "near/state.hpp"

namespace eplb::near {

// Slots of the heavy GPU, of another above the level, and of one with room.
struct Chain {
  Index first = -1, second = -1, third = -1;
  std::int64_t relief = 0, score = 0;
  std::int32_t unused = kFar;
};

class Exchanges {
 public:
  explicit Exchanges(const Shape& shape);

  // The best swap, and the best chain, that takes load from the heavy GPU, where better than `best`.
  //
  // In a swap two GPUs trade a replica. In a chain the heavy GPU gives a replica to another that is
  // above the level, which gives a larger one to a GPU with room, and that one's smaller replica
  // closes the circle; all three are at the level or below afterwards. It costs three moves, where
  // two swaps cost four.
  // (Thompson and Psaraftis, "Cyclic transfer algorithms for multivehicle routing and scheduling
  // problems", 1993.)
  void find(State& state, Index heavy, Action& best);

 private:
  void lend_views(const State& state);
  void hide_what_may_not_come(const State& state);
  void find_swap(State& state, Action& best);
  void find_swap_with_new(State& state, Action& best);
  void find_swap_with(State& state, Index at, Action& best);
  std::int32_t swap_gain(std::int32_t room, std::int32_t moved) const;
  void list_above(const State& state);
  void find_chain(State& state, Action& best);
  void look_for_chains(const State& state, Index given);
  void offer(State& state, Action& action, std::int64_t gain, Action& best) const;

  Shape shape_;
  Index stride_, heavy_ = 0;
  std::int32_t excess_ = 0;
  bool is_any_new_ = false;  // of the heavy GPU's replicas
  std::vector<Index> above_;  // GPUs above the level, without the heavy one
  std::vector<std::int32_t> missing_;  // experts of which the heavy GPU has fewer than in force
  // What scans read: the state's own tables, or copies in which what is not allowed is hidden.
  const std::int32_t* size_ = nullptr;
  std::vector<const std::int32_t*> room_of_;  // for each replica that the heavy GPU may give
  std::vector<std::int32_t> hidden_sizes_, hidden_rooms_;
  std::vector<std::int32_t> swap_gain_;  // of each of those replicas
  std::vector<std::int32_t> taken_;      // the largest replica that every GPU can take for a small one
  std::vector<std::int32_t> have_second_;  // whether a GPU has a replica that can go on to another
  Chain chain_;
};

}  // namespace eplb::near
