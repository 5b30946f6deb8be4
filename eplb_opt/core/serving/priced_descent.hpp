// Descent of one layer's plan: the heaviest GPU gives load away where that is worth its traffic.
#pragma once

#include <span>
#include <vector>

#include "common/inline.hpp"
#include "serving/locality.hpp"

namespace eplb::serving {

// A layer's plan, with what its replicas serve away from given homes.
//
// A step exchanges a replica of the heaviest GPU, gives one of its experts a further replica in a
// slot that another expert can spare, or gives a slot that the GPU can spare to a light expert. It
// is worth what the larger load of the GPUs concerned falls by, less the price of the traffic; where
// several GPUs are far above the mean each has to fall before the largest load does, and traffic
// counts that much more.
class PricedDescent {
 public:
  // `homes` are the groups' nodes, `weight` the experts' loads in fixed point.
  PricedDescent(const Locality& locality, const Grid& grid, std::span<const std::int64_t> weight,
                std::span<const std::int64_t> homes, std::span<const std::int64_t> placed);

  // One step; whether there was one that helps.
  bool step();

  // Of the plan as it is, see Locality.
  double cost() const { return locality_.cost(largest_load(), static_cast<double>(away_)); }
  std::span<const std::int64_t> placed() const { return expert_; }

 private:
  struct Step {
    double worth = 0.0;
    Index slot = -1, other = -1;  // places that are exchanged
    std::int64_t taker = -1;      // or the expert that gets `slot`
  };
  // The loads of the two most loaded GPUs among those of an expert's replicas.
  struct Peaks {
    std::int64_t first = 0, second = 0;
    Index slot = -1;  // of the first
  };
  struct Swaps;  // looks for the best exchange

  void look_at_swaps(Index heavy, double price, Step& best);
  void look_at_copies(Index heavy, double price, Step& best) const;
  void look_at_fillers(Index heavy, double price, Step& best) const;
  void find_peaks();
  void swap(Index slot, Index other);
  bool try_transfer(const Step& step);

  std::int64_t largest_load() const { return load_[heaviest()]; }
  Index heaviest() const;
  Index num_above_level() const;
  Index gpu_of(Index slot) const { return grid_.gpu[slot]; }
  Index node_of(Index slot) const { return grid_.node[slot]; }
  std::int64_t next_size(std::int64_t expert, Index more) const {
    return weight_[expert] / (count_[expert] + more);
  }
  bool is_home(std::int64_t expert, Index slot) const { return home_[expert] == node_of(slot); }
  std::int64_t away_with(std::int64_t expert, Index more, Index at_home, std::int64_t size) const;
  void set_slot(Index slot, std::int64_t expert);
  void resize(std::int64_t expert);
  std::int64_t peak_without(std::int64_t expert, Index slot) const;

  const Locality& locality_;
  const Grid& grid_;
  std::span<const std::int64_t> weight_;
  std::vector<Index> home_, count_, at_home_;       // of experts
  std::vector<std::int64_t> expert_;                // of slots
  std::vector<std::int64_t> size_, load_;           // of experts' replicas, of GPUs
  std::vector<Peaks> peaks_;                        // of experts with several replicas
  std::int64_t away_ = 0, level_ = 0;
  // Of slots, padded to whole vectors: sizes, what the heaviest GPU has more, and the price of the
  // traffic that comes with an exchange.
  std::vector<double> wide_size_, wide_gap_, wide_traffic_;
};

// The plans of a descent that cost less than all before them, one after the other, in so many steps
// at most: int64 [num * num_slots].
std::vector<std::int64_t> plans_on_the_way(const Locality& locality,
                                           std::span<const std::int64_t> weight,
                                           std::span<const std::int64_t> homes,
                                           std::span<const std::int64_t> placed, Index steps);

}  // namespace eplb::serving
