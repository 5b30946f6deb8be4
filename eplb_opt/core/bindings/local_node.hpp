// What both classes of the chapter ask of their arguments.
#pragma once

#include "bindings/arrays.hpp"
#include "local/plan.hpp"

namespace eplb::bind {

// A node whose weights and slots fit each other.
local::Node checked_node(std::span<const std::int64_t> weights, std::span<const std::int64_t> slots,
                         Index num_gpus, bool apart);

// The slots hold experts of the node, each at least once.
void require_plan(std::span<const std::int64_t> slots, const local::Node& node);

// A largest load, in the units of the weights, that sums do not overflow with.
void require_load(const char* name, std::int64_t load);

void add_node_search(nb::module_& chapter);

}  // namespace eplb::bind
