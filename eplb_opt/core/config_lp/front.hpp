// Partial patterns that matter: of a GPU's slots some are filled, the rest is still open.
//
// A pattern is at most K replicas that fit a GPU. Any two halves of patterns may be combined, so that
// among the partial patterns of as many slots only those matter that no other one undercuts in size
// and matches in weight: the Pareto front, as in the dynamic program for the knapsack problem of
// Nemhauser and Ullmann ("Discrete dynamic programming and capital allocation", 1969).
//
// Floats: what comes out are columns for a linear program and an estimate of its bound, never a
// proof.
#pragma once

#include <vector>

#include "common/views.hpp"

namespace eplb::config_lp {

// Sizes are in GPU capacities; a pattern of this size still counts as fitting.
inline constexpr double kFull = 1.0 + 1e-12;

// By ascending size and strictly ascending weight; the first row is the empty pattern, and its left
// and right mean nothing. In a front of one slot left and right are expert and count, else the rows
// of the two fronts that it was joined from.
struct Front {
  std::vector<double> size, weight;
  std::vector<Index> left, right;

  Index length() const { return std::ssize(size); }
  void append(double new_size, double new_weight, Index new_left, Index new_right);
  void pop();
};

// What a slot may hold: a replica of an expert with c replicas, fewest <= c <= most, has size load / c
// and weight value / c.
struct Replicas {
  std::span<const double> load;   // in capacities of a GPU
  std::span<const double> value;  // dual values
  std::span<const Index> fewest, most;
};

// The front that holds the empty pattern alone.
Front empty_front();

// The front of one slot.
Front single_front(const Replicas& replicas);

// The front of the sums of two fronts.
Front joined_front(const Front& a, const Front& b);

// Nearly that front, of about `length` rows at most, without sorting; a little other every turn.
Front gridded_front(const Front& a, const Front& b, Index length, Index turn);

// At most so many rows, the empty and the heaviest one among them; other rows every turn.
Front thinned_front(Front front, Index length, Index turn);

// For each row of a front the row of the other one that completes it best.
std::vector<Index> best_partners(const Front& a, const Front& b);

}  // namespace eplb::config_lp
