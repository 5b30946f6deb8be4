// Count scan: other replica counts than water-filling's, each packed greedily.
#pragma once

#include <vector>

#include "local/plan.hpp"

namespace eplb::local {

// The best greedy packings over a range of counts, at most `keep` of them, the best first.
//
// The counts that level the replicas are far from the best ones where a few experts are heavy: a
// replica must also find partners that fill its GPU, and the slots go where they help that. So
// replicas as large as a whole GPU are tried, which leaves slots to make partners of. `bound` is the
// load at which a plan is good enough.
std::vector<std::vector<std::int64_t>> scan_counts(const Node& node, std::int64_t bound,
                                                   std::size_t keep);

// The water level rounded down: the least level at or below which the slots keep every replica.
std::int64_t water_level(const Node& node);

}  // namespace eplb::local
