// The search on one node of a layer.
#pragma once

#include <span>
#include <vector>

#include "common/random.hpp"
#include "serving/exchange.hpp"
#include "serving/plan.hpp"

namespace eplb::serving {

// What steps write on; it serves one node after the other.
struct Scratch {
  explicit Scratch(const NodeShape& shape) : exchange(shape) {}

  Exchange exchange;
  std::vector<Index> order;
};

// Whether a search may give a replica's slot to another expert of the node. Where replicas of an
// expert stand on several nodes, its counts stay.
enum class Counts : std::int8_t { change, stay };

class NodeSearch {
 public:
  // The search from the placement whose slots' experts are given, GPU after GPU. `weight` are the
  // loads of the layer's experts; `memory` holds 2 * shape.plan_size() numbers.
  NodeSearch(const NodeShape& shape, std::span<const std::int64_t> placed,
             std::span<const std::int64_t> weight, std::int64_t* memory,
             Counts counts = Counts::change);

  // Begin anew from what another search has begun with; none of the two has made a step.
  void start_as(const NodeSearch& other);

  // One improvement of the heaviest GPU, or one kick.
  void step(std::int64_t target, Scratch& scratch);

  // The least largest load so far, and the plan that has it.
  std::int64_t reached() const { return reached_; }
  const Plan& best() const { return plan_.largest_load() <= reached_ ? plan_ : saved_; }

  std::int64_t total() const { return total_; }              // load of the node
  std::int64_t largest_size() const { return largest_size_; }  // of a replica, at the start
  const Plan& plan() const { return plan_; }
  int dropped_bits() const { return dropped_; }

 private:
  void count_replicas(std::span<const std::int64_t> placed);
  void weigh_replicas(std::span<const std::int64_t> placed);
  void sweep_once(std::int64_t target, Scratch& scratch);
  void settle();

  std::span<const std::int64_t> weight_;
  Plan plan_, saved_;  // as it is, and as at the best local optimum
  Random random_;
  std::int64_t saved_load_ = 1, reached_ = 1, total_ = 0, largest_size_ = 0;
  int dropped_;      // bits that the exchanges drop
  bool is_swept_;    // whether sweeps have had their time
  Counts counts_;
};

}  // namespace eplb::serving
