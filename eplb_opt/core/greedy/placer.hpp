// The published greedy on rows of experts, several rows at a time.
#pragma once

#include <span>

#include "common/views.hpp"

namespace eplb::greedy {

// The experts of some rows. A row is a layer, or a node of a layer.
struct Rows {
  Table<const float> load;  // [num_rows, num_experts], none negative

  // Logical expert of every row's expert, [num_rows, num_experts]; null where it is the same.
  const std::int64_t* members;
  Index num_slots, num_packs;  // of a row

  Index num_rows() const { return load.rows(); }
  Index num_experts() const { return load.columns(); }
};

// Replicate: one slot after the other to the largest load / count, the first of equals. Place: the
// replicas by descending load, those of equal load as they were made, each on the lightest pack
// with room; with one slot a pack, replica i on pack i.
//
// Written: the logical expert of every slot, [num_rows, num_slots]; and, at members' places of
// `counts` [num_rows * num_experts], their numbers of replicas, row after row of a layer.
void place_rows(const Rows& rows, Index rows_per_layer, Table<std::int64_t> placed,
                Table<std::int64_t> counts);

}  // namespace eplb::greedy
