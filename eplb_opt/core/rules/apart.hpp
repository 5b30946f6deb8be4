// A greedy under which no GPU holds an expert twice.
#pragma once

#include "common/views.hpp"

namespace eplb::rules {

// Fills `placed`, equally many slots a GPU, with experts of one node; there are at least as many
// experts as a GPU has slots.
//
// Counts by greedy replication, at most one replica a GPU; then the heaviest replica to the lightest
// GPU with room and without its expert. Where all GPUs with room have the expert already, another
// replica makes way.
void place_apart(std::span<const std::int64_t> load, Index num_gpus,
                 std::span<std::int64_t> placed);

}  // namespace eplb::rules
