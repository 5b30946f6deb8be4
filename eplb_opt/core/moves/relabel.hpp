// A plan's GPUs under other names, so that the change from the plan in force moves least.
#pragma once

#include "common/views.hpp"

namespace eplb::moves {

// Rows have equally many slots a GPU, -1 for an empty one; experts are below `num_experts`. A GPU
// may trade names within its node, and whole nodes trade too.
struct Shape {
  Index num_experts;
  Index num_gpus;
  Index num_nodes;
  Index far_price = 1;  // of a move to a node where its expert did not stand; else it is 1
};

// Writes the new row with the names under which moves cost least: slots whose expert is new on its
// GPU.
void relabel(std::span<const std::int64_t> current, std::span<const std::int64_t> fresh,
             const Shape& shape, std::span<std::int64_t> placed);

// Writes the new row with what stays on a GPU in the slot where it was.
void keep_slots(std::span<const std::int64_t> current, std::span<const std::int64_t> fresh,
                const Shape& shape, std::span<std::int64_t> placed);

}  // namespace eplb::moves
