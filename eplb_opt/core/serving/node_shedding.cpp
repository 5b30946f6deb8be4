// What nodes that are too heavy give to the others.
#include <algorithm>
#include <numeric>

#include "common/lanes.hpp"
#include "serving/node_shares.hpp"

namespace eplb::serving {

namespace {

// Node loads need not be nearer to the level than one part in so many.
constexpr float kNear = 1024.0F;
// A change is to lower the cost by this part of the level at least.
constexpr float kLeastWorth = 0.02F;

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

// Make the change that helps most by what it takes off a node, if one helps. An expert that stands on
// several nodes is looked at as if the others did not fall with it.
bool NodeShares::shed_from(Index from) {
  const float mine = beyond(from);
  if (mine <= level_ * gpus_[from] / kNear) return false;
  const Index to = roomiest();
  if (to < 0) return false;
  const Index row = from * width_, there = to * width_;
  Spares spares{member_size_.data() + there, fewer_.data() + there, member_home_.data() + there,
                vectors_of(to), to, limit_};
  with_widest_vectors(spares);
  const auto other = [&](Index place) -> Shedding::Other {
    if (place < 0) return {-1, 0.0F, 0.0F};
    const std::int32_t expert = member_[there + place];
    const int paid = (home_[expert] == to) - (home_[expert] == from);
    return {expert, size_[expert], price_ * static_cast<float>(paid) * size_[expert]};
  };
  Shedding::Other spare = other(spares.spare);
  if (spare.expert >= 0) {
    spare.paid = price_ * away(spare.expert, -1, -(home_[spare.expert] == to));
  }
  const float theirs = beyond(to);
  Shedding look{member_size_.data() + row, more_.data() + row, fall_.data() + row,
                added_.data() + row, member_home_.data() + row, member_.data() + row,
                vectors_of(from), from, to, price_, mine, std::max(-theirs, 0.0F),
                std::max(theirs, 0.0F), slope_[from], slope_[to], theirs,
                {other(spares.lightest), other(spares.lightest_away)}, spare,
                -level_ * kLeastWorth};
  with_widest_vectors(look);
  const int swap = look.found_worth[1] < look.found_worth[0] ? 1 : 0;
  if (look.place[2] >= 0) {
    // Other nodes may fall and rise with it.
    const Index expert = member_[row + look.place[2]];
    const float worth = worth_of_copy(expert, to, spare.expert);
    if (worth < look.found_worth[swap]) {
      take(spare.expert, to);
      add(expert, to);
      return true;
    }
  }
  if (look.place[swap] < 0) return false;
  const Index expert = member_[row + look.place[swap]];
  move(expert, from, to);
  move(look.others[swap].expert, to, from);
  return true;
}

// The node that is farthest below the level, or -1.
Index NodeShares::roomiest() const {
  Index found = -1;
  float least = 0.0F;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    if (beyond(node) < least) least = beyond(node), found = node;
  }
  return found;
}

}  // namespace eplb::serving
