// Rows and columns paired so that the total worth of the pairs is largest.
#pragma once

#include <vector>

#include "common/views.hpp"

namespace eplb::moves {

// A worth above 0 of a pair; all other pairs are worth nothing.
struct Worth {
  Index column;
  std::int64_t value;
};

// The column of each row. `rows` has one list a row; there are as many columns as rows.
//
// Primal and dual (Kuhn, "The Hungarian method for the assignment problem", 1955), with all rows
// that have no partner at one price: it falls from the largest worth to 0, and at each price tight
// pairs are matched along augmenting paths until none is left. Worths are small integers here and
// most are 0, so prices are few and the lists short. Rows without a partner get the columns that are
// left, in order.
std::vector<Index> best_assignment(const std::vector<std::vector<Worth>>& rows);

}  // namespace eplb::moves
