// The laws of a plan once more, for what leaves the serving path.
#pragma once

#include "common/views.hpp"

namespace eplb::serving {

// Groups and nodes; one of each where the nodes constrain nothing.
struct Topology {
  Index num_groups;
  Index num_nodes;
};

// The first layer that breaks a law, or -1.
//
// Every slot holds an expert, every expert stands somewhere, as often as the counts say; and of
// several nodes each holds equally many groups, each group on one node. Nothing here is shared with
// the code that places or moves replicas.
Index first_offence(Table<const std::int64_t> placed, Table<const std::int64_t> counts,
                    Topology topology);

}  // namespace eplb::serving
