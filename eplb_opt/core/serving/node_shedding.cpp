// What nodes that are too heavy give to the others.
#include <algorithm>
#include <limits>
#include <numeric>

#include "serving/node_shares.hpp"

namespace eplb::serving {

namespace {

// Node loads need not be nearer to the level than one part in so many.
constexpr double kNear = 1024.0;
// A change is to lower the cost by this part of the level at least.
constexpr double kLeastWorth = 0.02;
constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

// The heaviest nodes first; what one takes never lifts it above the level by more than is gained.
void NodeShares::shed() {
  order_.resize(locality_.num_nodes);
  std::iota(order_.begin(), order_.end(), 0);
  std::ranges::stable_sort(order_, std::ranges::greater{}, [&](Index n) { return beyond(n); });
  for (const Index node : order_) {
    for (Index i = 0; i < locality_.slots_per_node() && shed_from(node); ++i) {
    }
  }
}

// Make the change that helps most by what it takes off a node, if one helps.
bool NodeShares::shed_from(Index node) {
  if (beyond(node) <= level_ * gpus_[node] / kNear) return false;
  Change best;
  best.worth = -level_ * kLeastWorth;
  const Index to = roomiest();
  if (to < 0) return false;
  const Offer offer = offer_of(to, -1);
  for (const Index other : offer.lightest) {
    if (other >= 0) look_at_swaps(node, to, other, best);
  }
  if (offer.spare >= 0) look_at_copies(node, to, offer.spare, best);
  if (best.expert < 0) return false;
  make(best);
  return true;
}

// Exchanges of a node's experts for one of another node.
void NodeShares::look_at_swaps(Index from, Index to, Index other, Change& best) const {
  const double mine = beyond(from), room = -std::min(beyond(to), 0.0), over = std::max(beyond(to), 0.0);
  const double slope = slope_[from], slope_there = slope_[to], size = size_[other];
  const int theirs = (home_[other] == to) - (home_[other] == from);
  const double paid = locality_.price * theirs * size;
  for (const std::int32_t expert : members(from)) {
    const double moved = size_[expert] - size;
    // No more is gained than leaves the node.
    if (-slope * moved >= best.worth || expert == other) continue;
    const std::int32_t home = home_[expert];
    const double away = home == from ? size_[expert] : home == to ? -size_[expert] : 0.0;
    const double risen = moved > room ? slope_there * (moved - room - over) : 0.0;
    const double worth =
        locality_.price * away + paid + risen - slope * std::min(moved, mine);
    if (worth < best.worth) best = {worth, expert, from, to, other, false};
  }
}

// Further replicas of a node's experts in the place of one that another node can spare.
void NodeShares::look_at_copies(Index from, Index to, Index spare, Change& best) const {
  // Mostly an expert has all of its replicas on one node, and no more is gained than leaves it.
  const bool is_simple = on(spare, to) == count_[spare];
  const double mine = beyond(from), theirs = beyond(to), slope = slope_[from];
  const double lost = away(spare, -1, -(home_[spare] == to));
  for (const std::int32_t expert : members(from)) {
    if (expert == spare) continue;
    if (!is_simple || on(expert, from) != count_[expert]) {
      look_at_copy(expert, from, to, spare, best);
      continue;
    }
    const double then = more_[expert];
    const double fallen = static_cast<double>(count_[expert]) * (size_[expert] - then);
    if (-slope * fallen >= best.worth) continue;
    const double added = away(expert, 1, home_[expert] == to) + lost;
    const double risen = std::max(theirs + then, 0.0) - std::max(theirs, 0.0);
    const double worth =
        locality_.price * added + slope_[to] * risen - slope * std::min(fallen, mine);
    if (worth < best.worth) best = {worth, expert, from, to, spare, true};
  }
}

// The node that is farthest below the level, or -1.
Index NodeShares::roomiest() const {
  Index found = -1;
  double least = 0.0;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    if (beyond(node) < least) least = beyond(node), found = node;
  }
  return found;
}

void NodeShares::look_at_copy(Index expert, Index from, Index to, Index spare, Change& best) const {
  const double then = more_[expert], grown = fewer_[spare];
  const double added =
      away(expert, 1, home_[expert] == to) + away(spare, -1, -(home_[spare] == to));
  double worth = locality_.price * added;
  // No more is gained than leaves nodes that are above the level.
  const double fallen = static_cast<double>(count_[expert]) * (size_[expert] - then) +
                        (beyond(to) > 0.0 ? size_[spare] : 0.0);
  if (worth - most_slope_ * fallen >= best.worth) return;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const double here = node == to ? 1.0 : 0.0;
    const auto mine = static_cast<double>(on(expert, node));
    const auto theirs = static_cast<double>(on(spare, node));
    if (here == 0.0 && mine == 0.0 && theirs == 0.0) continue;
    worth += rise(node, (mine + here) * then - mine * size_[expert] + (theirs - here) * grown -
                            theirs * size_[spare]);
  }
  if (worth < best.worth) best = {worth, expert, from, to, spare, true};
}

// What the cost rises by where a node's load does.
double NodeShares::rise(Index node, double more) const {
  const double now = beyond(node);
  return slope_[node] * (std::max(now + more, 0.0) - std::max(now, 0.0));
}

// What is served away from home more with so many more replicas, and so many of them at home.
double NodeShares::away(Index expert, Index more, Index at_home) const {
  const Index count = count_[expert], now = on(expert, home_[expert]);
  const double then = more > 0 ? more_[expert] : fewer_[expert];
  return then * static_cast<double>(count + more - now - at_home) -
         size_[expert] * static_cast<double>(count - now);
}

NodeShares::Offer NodeShares::offer_of(Index node, Index taker) const {
  Offer offer;
  offer.spare = spare_of(node, taker);
  double least = kNever, least_away = kNever;
  for (const std::int32_t expert : members(node)) {
    if (size_[expert] < least && expert != taker) least = size_[expert], offer.lightest[0] = expert;
    if (home_[expert] != node && size_[expert] < least_away && expert != taker) {
      least_away = size_[expert], offer.lightest[1] = expert;
    }
  }
  return offer;
}

// The expert on a node whose replicas grow least large by one less, and not beyond the level.
Index NodeShares::spare_of(Index node, Index taker) const {
  Index spare = -1;
  double least = limit_;
  for (const std::int32_t expert : members(node)) {
    if (count_[expert] < 2 || expert == taker) continue;
    const double grown = fewer_[expert];
    if (grown < least) least = grown, spare = expert;
  }
  return spare;
}

}  // namespace eplb::serving
