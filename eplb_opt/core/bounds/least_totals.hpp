// What all replicas of a layer cost together at least: the slots shared out in the best way.
#pragma once

#include <cstdint>
#include <span>

#include "common/views.hpp"

namespace eplb::bounds {

// More than any total, and what is no total.
constexpr std::int64_t kNever = std::int64_t{1} << 62;

// The least sum over the rows, the experts, of the entries at the columns chosen in them, the slots
// that each expert takes beyond one, where these are the number of columns less 1 in all; kNever
// where there is none. Entries are 0..kNever.
//
// Expert by expert, for each number of slots taken (a min-plus convolution).
std::int64_t least_total(Table<const std::int64_t> costs);

}  // namespace eplb::bounds
