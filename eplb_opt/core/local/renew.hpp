// Renewal: a plan from replica counts drawn at random, for heavy experts that no transfer mends.
#pragma once

#include "common/random.hpp"
#include "local/packing.hpp"

namespace eplb::local {

// The best of a few greedy packings, each of counts drawn at random, into `slots`.
//
// No replica exceeds the bound. Returns whether a packing was found; `slots` is left as it was where
// none was.
bool renew(const Node& node, std::int64_t bound, Random& random, std::span<std::int64_t> slots);

// Counts that keep replicas at or below the target, spare slots under ceilings drawn anew.
//
// Returns whether the slots are enough.
bool draw_counts(std::int64_t target, Random& random, Counts& counts);

}  // namespace eplb::local
