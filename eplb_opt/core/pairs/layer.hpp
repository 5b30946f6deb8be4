// Loads and levels of a layer with two slots a GPU, in fixed point, and the counts below a level.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "common/views.hpp"
#include "pairs/options.hpp"

namespace eplb::pairs {

__extension__ typedef __int128 Wide;

// A level is a number of units, 2**scale_bits of which are a token. The caller chooses the scale so
// fine that what is decided in units is decided for the rationals.
class Layer {
 public:
  // Twice a load in units, and a level with it, has to stay below this.
  static constexpr int kMostBits = 126;

  Layer(std::span<const std::int64_t> load, int scale_bits, Index num_slots);

  Index num_experts() const { return std::ssize(load_); }
  Index num_slots() const { return num_slots_; }
  std::span<const double> load() const { return load_; }

  // Replicas of which each is at most the level: ceil(w / T), at least 1, at most num_slots + 1.
  Index fewest(Index expert, Wide level) const;
  // The largest count with 2 w / c > T, 0 where there is none; at most num_slots.
  Index most_big(Index expert, Wide level) const;
  Wide in_units(Index expert) const { return scaled_[expert]; }

 private:
  std::vector<double> load_;
  std::vector<Wide> scaled_;
  Index num_slots_;
};

// What a plan of at most a level can consist of.
//
// A replica s = w / c is big when 2 s > T, with key s, and small otherwise, with key T - s. In a plan
// of at most T no two big ones share a GPU, and a big one of key s stands with a small one of key at
// least s. So among the replicas with a key of at least any threshold there are at least as many
// small ones as big ones: the balance rows, one for every key that a big replica can have. Keys are
// rounded down to units, so that no plan is lost.
struct Level {
  Options options;
  std::vector<Wide> threshold;  // [num_rows], ascending; row i holds keys of at least threshold[i]

  // Nothing where the fewest replicas alone exceed the slots.
  static std::optional<Level> of(const Layer& layer, Wide level);
};

}  // namespace eplb::pairs
