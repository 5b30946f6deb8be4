// The one loop of every annealing (Kirkpatrick, Gelatt and Vecchi, "Optimization by simulated
// annealing", 1983): draw a proposal, look at the rules, and do it where it is worth it.
#pragma once

#include <concepts>

#include "annealing/proposal.hpp"

namespace eplb::annealing {

// What a kind of annealing decides: which proposals are drawn, and what one is worth.
template <typename P>
concept Policy = requires(P policy, const P& fixed, const Proposal& proposal) {
  { fixed.placement() } -> std::same_as<const Placement&>;
  // Draws the next one.
  { policy.propose() } -> std::same_as<Proposal>;
  // Whether it is to be made at the present temperature. A policy that cannot tell without
  // making it makes it here.
  { policy.accepts(proposal) } -> std::same_as<bool>;
  // Makes it, or completes it.
  { policy.keep(proposal) } -> std::same_as<void>;
  // Undoes what `accepts` has made.
  { policy.undo(proposal) } -> std::same_as<void>;
};

template <Policy P>
EPLB_INLINE void anneal(P& policy, Index num_proposals) {
  for (; num_proposals > 0; --num_proposals) {
    const Proposal proposal = policy.propose();
    if (!is_allowed(policy.placement(), proposal)) continue;
    if (policy.accepts(proposal)) {
      policy.keep(proposal);
    } else {
      policy.undo(proposal);
    }
  }
}

}  // namespace eplb::annealing
