// Exchanges at a price, eight GPUs side by side.
#pragma once

#include "common/eights.hpp"

namespace eplb::serving {

// Slots of a GPU; where it has more, nothing is exchanged.
inline constexpr Index kMostPlaces = 512;

// Exchanges of the heaviest GPU within its node, which cost no traffic.
struct NearSwaps {
  const float *size, *load;  // of the node's first column
  const float* mine;         // sizes on the heaviest GPU
  Eight* by_place;           // the best with each place of the others
  Index node_width, width, places;
  float peak;
  float best;
  Index column = -1, place = -1, given = -1;

  EPLB_INLINE void run() {
    for (Index first = 0; first < node_width; first += kEight) {
      Eight held;
      eplb::load(held, load + first);
      const Eight gap = peak - held;
      Eight most = Eight{} + best;
      for (Index k = 0; k < places; ++k) {
        Eight theirs, of_place = Eight{} + best;
        eplb::load(theirs, size + k * width + first);
        for (Index i = 0; i < places; ++i) raise(of_place, worth(theirs, i, gap));
        by_place[k] = of_place;
        raise(most, of_place);
      }
      const float highest = most_of(most);
      if (highest > best) best = highest, find(first, gap);
    }
  }

  EPLB_INLINE Eight worth(const Eight& theirs, Index i, const Eight& gap) const {
    const Eight moved = mine[i] - theirs;
    Eight least = gap - moved;
    lower(least, moved);
    return least;
  }

  EPLB_INLINE void find(Index first, const Eight& gap) {
    for (place = 0; place < places; ++place) {
      if (!is_any(by_place[place] == best)) continue;
      Eight theirs;
      eplb::load(theirs, size + place * width + first);
      for (given = 0; given < places; ++given) {
        const EightInts found = worth(theirs, given, gap) == best;
        if (!is_any(found)) continue;
        for (column = first; found[column - first] == 0; ++column) {
        }
        return;
      }
    }
  }
};

// Exchanges of the heaviest GPU with those of other nodes.
struct FarSwaps {
  const float *size, *load;
  const std::int32_t* home;  // of slots
  const float* mine;         // sizes on the heaviest GPU
  const std::int32_t* my_home;
  Eight* by_place;  // the best with each place of the others
  Index num_nodes, node_width, width, places, node;
  float peak, price;
  float best;
  Index column = -1, place = -1, given = -1;

  EPLB_INLINE Eight worth(Index i, const Eight& gap, const Eight& theirs, const Eight& paid,
                          float mine_paid) const {
    const Eight moved = mine[i] - theirs;
    Eight least = gap - moved;
    lower(least, moved);
    return least - paid - mine_paid;
  }

  // What the traffic of a replica that leaves the place for this node rises by.
  EPLB_INLINE Eight paid_for(const Eight& theirs, Index at, Index there) const {
    EightInts homes;
    eplb::load(homes, home + at);
    // Those at home leave it; those whose home is the heaviest GPU's node come there.
    const EightInts leave = homes == static_cast<std::int32_t>(there);
    const EightInts come = homes == static_cast<std::int32_t>(node);
    const Eight each = price * theirs;
    return (leave ? each : Eight{}) - (come ? each : Eight{});
  }

  EPLB_INLINE void run() {
    float mine_paid[kMostPlaces];
    for (Index there = 0; there < num_nodes; ++there) {
      if (there == node) continue;
      for (Index i = 0; i < places; ++i) {
        const float each = price * mine[i];
        mine_paid[i] = my_home[i] == node ? each : my_home[i] == there ? -each : 0.0F;
      }
      for (Index first = there * node_width; first < (there + 1) * node_width; first += kEight) {
        Eight held, theirs;
        eplb::load(held, load + first);
        const Eight gap = peak - held;
        Eight most = Eight{} + best;
        for (Index k = 0; k < places; ++k) {
          eplb::load(theirs, size + k * width + first);
          const Eight paid = paid_for(theirs, k * width + first, there);
          Eight of_place = Eight{} + best;
          for (Index i = 0; i < places; ++i) {
            raise(of_place, worth(i, gap, theirs, paid, mine_paid[i]));
          }
          by_place[k] = of_place;
          raise(most, of_place);
        }
        const float highest = most_of(most);
        if (highest <= best) continue;
        best = highest;
        find(first, there, gap, mine_paid);
      }
    }
  }

  EPLB_INLINE void find(Index first, Index there, const Eight& gap, const float* mine_paid) {
    for (place = 0; place < places; ++place) {
      if (!is_any(by_place[place] == best)) continue;
      Eight theirs;
      eplb::load(theirs, size + place * width + first);
      const Eight paid = paid_for(theirs, place * width + first, there);
      for (given = 0; given < places; ++given) {
        const EightInts found = worth(given, gap, theirs, paid, mine_paid[given]) == best;
        if (!is_any(found)) continue;
        for (column = first; found[column - first] == 0; ++column) {
        }
        return;
      }
    }
  }
};

// An exchange that brings a place's expert home, and lifts no GPU above the ceiling.
struct Homeward {
  const float *size, *load;
  const std::int32_t* home;
  Index node_width, width, places, node, to;
  float mine, room, peak;  // the replica, what its GPU may rise by, what none may exceed
  float best;
  Index column = -1, place = -1;

  EPLB_INLINE void run() {
    for (Index first = to * node_width; first < (to + 1) * node_width; first += kEight) {
      Eight held;
      eplb::load(held, load + first);
      const Eight gap = peak - held;
      for (Index k = 0; k < places; ++k) {
        const Eight all = worth(k * width + first, gap);
        const float highest = most_of(all);
        if (highest <= best) continue;
        best = highest, place = k;
        for (Index i = kEight - 1; i >= 0; --i) column = all[i] == best ? first + i : column;
      }
    }
  }

  EPLB_INLINE Eight worth(Index at, const Eight& gap) const {
    Eight theirs;
    EightInts homes;
    eplb::load(theirs, size + at), eplb::load(homes, home + at);
    const Eight moved = mine - theirs;
    const EightInts fits = (moved <= gap) & (-moved <= room);
    const Eight left = homes == static_cast<std::int32_t>(to) ? theirs : Eight{};
    const Eight come = homes == static_cast<std::int32_t>(node) ? theirs : Eight{};
    return fits ? mine - left + come : Eight{};
  }
};

}  // namespace eplb::serving
