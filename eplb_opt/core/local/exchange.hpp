// Polish: the heaviest GPU exchanges equally many replicas with another one.
#pragma once

#include "local/plan.hpp"
#include "local/subsets.hpp"

namespace eplb::local {

struct Exchange {
  Index other = -1;  // a GPU; none where -1
  Places give, take;  // the heaviest GPU's and the other one's; equally many
};

// The exchange with the heaviest GPU that leaves the lower larger load of the two.
//
// What is sorted has noticed the plan's last changes.
Exchange best_exchange(const Plan& plan, SortedSubsets& sorted, Index heavy);

// Swap the replicas place by place.
void apply(const Exchange& exchange, Index heavy, Plan& plan);

}  // namespace eplb::local
