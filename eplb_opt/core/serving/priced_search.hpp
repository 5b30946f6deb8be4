// Search on one layer's plan at a price: levels GPUs, and brings experts home.
#pragma once

#include <span>
#include <vector>

#include "common/eights.hpp"
#include "serving/locality.hpp"
#include "serving/worth.hpp"

namespace eplb::serving {

// Where slots lie in the search's tables: place after place, and in each of them node after node,
// padded to whole vectors, so that all of a vector is on one node.
struct Columns {
  explicit Columns(const Locality& locality);

  Index node_width, width, places;  // columns of a node and of all; slots of a GPU
  std::vector<std::int32_t> of_gpu, node;  // column of each GPU; node of each column

  Index size() const { return width * places; }
  Index column_of(Index at) const { return at % width; }
};

// The load of a column without a GPU, in mean GPU loads.
constexpr float kFull = 1e30F;

// The scratch of a search, which serves one layer after the other.
//
// Loads and traffic are exact integers in fixed point. What a step is chosen by is float32 in mean
// GPU loads: sums, products and comparisons in one order, so that every machine makes the same steps.
class PricedSearch {
 public:
  explicit PricedSearch(const Locality& locality);

  // Begin with a plan of a layer. `weight` are the experts' loads in fixed point, `homes` the groups'
  // nodes.
  void start(std::span<const std::int64_t> weight, std::span<const Index> homes,
             std::span<const std::int64_t> placed);

  // Begin with what brings experts home, for a plan whose heaviest GPU is stuck, most likely.
  void begin_with_homes() { is_stuck_ = true; }

  // Exchanges within nodes, until each is about as level as it gets.
  void level_nodes();

  // One step of the heaviest GPU, or one that brings an expert home; whether there was one.
  bool step();

  // Of the heaviest GPU's load, over the mean.
  float excess() const { return peak_ - 1.0F; }

  // What the plan that has cost least so far costs, under the homes that suit it best.
  double least_cost() const { return least_cost_; }

  // Return to that plan; its worth. `placed` and `homes`, the node of each group, are written to.
  Worth finish(std::span<std::int64_t> placed, std::span<std::int64_t> homes);

 private:
  // An exchange of two places, or the expert that gets one.
  struct Move {
    float worth = 0.0F;
    Index at = -1, other = -1;
    std::int32_t taker = -1;
  };
  // What was done: two places exchanged, or a place's expert before.
  struct Done {
    Index at, other;
    std::int32_t before;
  };
  // The loads of the two most loaded GPUs among those of an expert's replicas.
  struct Peaks {
    float first = 0.0F, second = 0.0F;
    Index at = -1;  // slot of the first
  };

  void place(std::span<const std::int64_t> placed);
  void weigh(std::span<const std::int64_t> weight);
  void find_served();
  void measure();
  Move best_near(Index heavy) const;
  void level_node(Index node, float enough);
  void swap_within(Index at, Index other);
  Move best_far(float price) const;
  Move best_copy(float price);
  void look_at_fillers(float price, Move& best) const;
  bool bring_home();
  bool bring_home(Index at, Index column);
  void find_peaks();
  void find_replicas();
  void find_light();
  void make(const Move& move);
  void swap(Index at, Index other);
  void set_slot(Index at, std::int32_t expert);
  void set_size(std::int32_t expert);
  void keep_if_least();
  void go_back();
  bool homes_suit();
  bool is_best_everywhere() const;
  void change_homes();
  float relative(std::int64_t load) const { return static_cast<float>(static_cast<double>(load) * scale_); }
  Index node_of(Index at) const { return columns_.node[columns_.column_of(at)]; }
  bool is_home(std::int32_t expert, Index at) const { return home_[expert] == node_of(at); }
  Index place_of(std::int32_t expert, Index node) const {
    return group_[expert] * locality_.num_nodes + node;
  }
  float share(std::int32_t expert, Index count) const;
  float away_after(std::int32_t expert, Index more, Index at_home, float size) const;
  float largest_beside(std::int32_t expert, Index at) const;

  const Locality locality_;
  const Columns columns_;
  const std::vector<Index> group_;  // of experts
  std::span<const std::int64_t> weight_;
  double scale_ = 0.0;  // one over the mean GPU load
  // Of slots.
  std::vector<std::int32_t> expert_, slot_home_;
  std::vector<float> slot_size_;
  // Of experts.
  std::vector<std::int32_t> home_, count_, at_home_;
  std::vector<std::int64_t> size_;
  std::vector<float> relative_weight_, relative_size_;
  // Of columns; those without a GPU are full.
  std::vector<std::int64_t> load_;
  std::vector<float> relative_load_;
  std::vector<Index> home_of_group_;
  std::vector<std::int64_t> served_;  // of each group's load, by each node, [num_groups * num_nodes]
  std::vector<std::int64_t> node_price_;  // of homes there
  std::vector<Index> homes_held_;         // groups at home on nodes
  std::int64_t away_ = 0;
  Index heavy_ = 0;  // column of the GPU with the largest load
  float peak_ = 0.0F;
  Index cursor_ = 0;      // where the next expert that is away is looked for
  bool is_stuck_ = false;  // whether the heaviest GPU had no step when it was looked at last
  bool is_home_ = false;  // whether the last look around has found none that could come home
  double least_cost_ = 0.0;
  std::vector<Done> since_least_;
  std::vector<Peaks> peaks_;             // of experts with several replicas
  std::vector<std::int32_t> replicas_;   // their slots, while `knows_replicas_`
  std::vector<std::int32_t> replica_of_slot_;  // where slots are there, or -1
  bool knows_replicas_ = false;
  std::vector<std::int32_t> light_;  // the lightest experts, once they are asked for
};

}  // namespace eplb::serving
