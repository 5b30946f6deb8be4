// A tournament tree over keys: the lowest of them is at the root, and a new key costs one
// comparison a level, none of which is a branch.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "common/views.hpp"
#include "greedy/keys.hpp"

namespace eplb::greedy {

class Tournament {
 public:
  explicit Tournament(Index num_players)
      : leaves_(static_cast<Index>(std::bit_ceil(static_cast<std::uint64_t>(num_players)))),
        node_(2 * leaves_) {}

  Index leaves() const { return leaves_; }

  // Set keys before `start`, of all leaves.
  void seed(Index leaf, std::uint64_t key) { node_[leaves_ + leaf] = key; }
  void start() {
    for (Index i = leaves_ - 1; i > 0; --i) node_[i] = std::min(node_[2 * i], node_[2 * i + 1]);
    node_[0] = node_[1];
  }

  std::uint64_t lowest() const { return node_[1]; }

  void replace(Index leaf, std::uint64_t key) {
    std::uint64_t* const node = node_.data();
    Index at = leaves_ + leaf;
    node[at] = key;
    while (at > 1) {
      key = std::min(key, node[at ^ 1]);
      at >>= 1;
      node[at] = key;
    }
  }

 private:
  Index leaves_;
  std::vector<std::uint64_t> node_;
};

}  // namespace eplb::greedy
