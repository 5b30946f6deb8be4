// The replica counts that an expert may still take, as columns.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/views.hpp"

namespace eplb::pairs {

// Experts in their order; an expert's counts ascend, so that its big replicas come before its small
// ones, the ranks of the big ones descend and those of the small ones ascend.
struct Options {
  std::vector<std::int32_t> first;   // [num_experts + 1], where each expert's options begin
  std::vector<std::int32_t> count;   // [num_options], replicas
  std::vector<std::int32_t> change;  // [num_options], +count for small replicas, -count for big ones
  std::vector<std::int32_t> rank;    // [num_options], the balance rows below it hold these replicas

  Index num_experts() const { return std::ssize(first) - 1; }
  Index size() const { return std::ssize(count); }
  bool is_decided() const { return size() == num_experts(); }

  // An expert's first option with small replicas, or its end.
  Index first_small(Index expert) const {
    Index option = first[expert];
    while (option < first[expert + 1] && change[option] < 0) ++option;
    return option;
  }

  // Become those of `all` whose numbers are kept, in ascending order and at least one an expert.
  void select(const Options& all, std::span<const std::int32_t> kept);
};

}  // namespace eplb::pairs
