// The plan as it is, beside the one in force.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "common/octets.hpp"
#include "common/views.hpp"
#include "near/action.hpp"
#include "near/shape.hpp"

namespace eplb::near {

// Loads are integers of about 2**-kTotalBits of the layer's total. A replica carries its expert's
// load divided by the count, rounded down: a GPU's true load is at most `rounding` above what is
// counted here.
class State {
 public:
  explicit State(const Shape& shape);

  // Begin with the plan in force: the experts of all slots, GPU after GPU, -1 for an empty slot.
  // `weight` are the loads of the experts; it must outlive what is done here.
  void start(std::span<const std::int32_t> weight, std::span<const std::int32_t> held);

  // Begin again, at once, with another level.
  void reset(std::int32_t level);

  const Shape& shape() const { return shape_; }
  Index slot(Index gpu, Index k) const { return k * stride_ + gpu; }
  Index gpu_of(Index slot) const { return gpu_of_[slot]; }
  std::int32_t rounding() const { return static_cast<std::int32_t>(2 * shape_.slots_per_gpu); }

  // What is above the level after so much has been added to a GPU.
  std::int32_t above(Index gpu, std::int32_t added = 0) const {
    return std::max(added - room[gpu], 0);
  }
  std::int32_t largest_load() const;
  bool is_empty(Index slot) const { return expert[slot] < 0; }
  bool holds(Index gpu, std::int32_t id) const;

  // Moves so far: replicas that the plan in force has not, or not as many of, on their GPU.
  Index moves() const { return moves_; }
  Index moves_of(Index gpu) const { return moves_of_[gpu]; }
  Index price() const { return price_; }
  // What an action adds to the price; may be below 0.
  Index price_of(const Action& action) const;
  // Whether a GPU has fewer replicas of an expert than in force.
  bool is_missing(Index gpu, std::int32_t id) const;
  // Call `use` with each expert of which it has fewer.
  template <typename Use>
  void at_each_missing(Index gpu, const Use& use) const {
    if (moves_of_[gpu] == 0) return;
    for (Index k = 0; k < shape_.slots_per_gpu; ++k) {
      if (const Index at = slot(gpu, k); held[at] >= 0 && !is_kept_[at]) use(held[at]);
    }
  }
  // By how much less all GPUs together are above the level after an action.
  std::int64_t gain_of(const Action& action);
  bool is_allowed(const Action& action) const;

  void apply(const Action& action);

  // The slots' experts, GPU after GPU; what has stayed on its GPU has its slot.
  void write(std::span<std::int32_t> placed) const;

  // Call `use` with each slot that an expert has, or had in force.
  template <typename Use>
  void at_each(std::int32_t id, const Use& use) const {
    for (Index at = first_[id]; at >= 0; at = next_[at]) use(at);
  }
  template <typename Use>
  void at_each_held(std::int32_t id, const Use& use) const {
    for (Index at = first_held_[id]; at >= 0; at = next_held_[at]) use(at);
  }

  // Of every slot; slots that pad a row have the size kFar.
  std::vector<std::int32_t> expert, size;
  std::vector<std::int32_t> shrink;  // what the replica loses when its expert gets one more
  std::vector<std::int32_t> grow;    // what it gains when its expert loses one, -1 where it is alone
  std::vector<std::uint8_t> is_new;  // whether the replica is a move
  std::vector<std::int32_t> room;    // of every GPU, to the level; below 0 where it is above
  std::vector<std::int32_t> count;   // of every expert
  std::vector<std::int32_t> fresh;   // size of every expert's replicas, were there one more; padded
  std::span<const std::int32_t> weight;
  std::vector<std::int32_t> held;    // the plan in force, slot by slot

 private:
  void weigh(std::int32_t id);
  void set_sizes(Index at);
  void recount(Index gpu);
  Index price_at(Index gpu, std::int32_t id) const;

  Shape shape_;
  Index stride_;
  std::int32_t level_ = 0;
  void link(Index at);
  void unlink(Index at);

  std::vector<Index> gpu_of_;            // of every slot
  // The slots of every expert as a list: the first, and after each the next, or -1.
  std::vector<Index> first_, next_, first_held_, next_held_;
  std::vector<std::uint8_t> is_kept_;    // whether a slot in force has a replica that has stayed
  std::vector<Index> moves_of_, price_of_gpu_;
  std::vector<std::int32_t> kept_at_;    // where a replica that has stayed stood, or -1
  std::vector<std::int64_t> change_;     // of every GPU's load; zero between calls
  Index moves_ = 0, price_ = 0;
};

// Two slots trade their experts.
inline Action swap_of(const State& state, Index a, Index b) {
  Action action;
  action.add(a, state.expert[b]);
  action.add(b, state.expert[a]);
  return action;
}

}  // namespace eplb::near
