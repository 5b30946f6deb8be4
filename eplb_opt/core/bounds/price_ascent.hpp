// Good prices of slots and of load on nodes, by Newton's method on a smoothed dual.
//
// Given prices, an expert costs the least over its options: so many replicas, all but the one that
// must be at home on one node. The soft minimum at a temperature takes the least's place, and the
// prices of load are kept above 0 by a logarithm. That makes a smooth concave function of two
// variables a node; as the temperature falls it becomes the dual of the linear program over all
// options (Nesterov, "Smooth minimization of non-smooth functions", 2005). That program has
// thousands of columns, and a solver takes ten to a hundred times as long.
//
// Exponentials and logarithms are our own: those of the system's library differ in their last bits.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "common/views.hpp"

namespace eplb::bounds {

// One layer with homes, loads relative to the mean GPU load.
struct Households {
  std::span<const double> load;  // of each expert
  std::span<const Index> home;   // its home among the nodes
  std::span<const Index> slots;  // of each node
  std::span<const Index> gpus;   // of each node
  double price;                  // of a share of 1 off home
  bool anchored;                 // whether one replica of each expert is at home whatever others do
  double least, most;            // between which the largest GPU load is
  double enough;                 // what prices need not prove more than
};

// Prices, and what the program whose dual values they are does with most of each expert.
struct Prices {
  std::vector<double> on_slots, on_load;  // of each node
  double level;                           // the largest GPU load
  std::vector<Index> count;               // replicas of each expert
  std::vector<Index> at_home;             // 1 where most of those beyond the first are at home
};

// Nothing where the deadline comes before the first temperature's end, or no plan has so little
// load.
std::optional<Prices> ascend(const Households& asked, Deadline deadline);

}  // namespace eplb::bounds
