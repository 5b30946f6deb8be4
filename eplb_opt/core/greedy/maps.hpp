// From the expert of every slot to the slots of every expert.
#pragma once

#include "common/views.hpp"

namespace eplb::greedy {

// Written: the slots of every expert, ascending, [num_layers, num_experts * width], padded with -1;
// `width` is at least the largest count.
void list_slots(Table<const std::int64_t> placed, Index width, Table<std::int64_t> slots);

}  // namespace eplb::greedy
