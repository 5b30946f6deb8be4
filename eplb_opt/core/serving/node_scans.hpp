// Looks at all experts of a node, eight side by side.
#pragma once

#include <limits>

#include "common/eights.hpp"

namespace eplb::serving {

// A size that nothing has; what pads rows of sizes.
inline constexpr float kHuge = 1e30F;

// Numbers of vectors' places, from `first` on.
EPLB_INLINE void count_from(EightInts& places, Index first) {
  const auto at = static_cast<std::int32_t>(first);
  places = EightInts{at, at + 1, at + 2, at + 3, at + 4, at + 5, at + 6, at + 7};
}

EPLB_INLINE void first_of(EightInts& first, const EightInts& other) {
  first = first < other ? first : other;
}

// The least value of eight that is below `least`, and its place: the first of equals.
EPLB_INLINE void least_of(const Eight& values, const EightInts& places, float& least, Index& place) {
  Eight all = values;
  lower(all, __builtin_shufflevector(all, all, 4, 5, 6, 7, 0, 1, 2, 3));
  lower(all, __builtin_shufflevector(all, all, 2, 3, 0, 1, 6, 7, 4, 5));
  lower(all, __builtin_shufflevector(all, all, 1, 0, 3, 2, 5, 4, 7, 6));
  if (!(all[0] < least)) return;
  least = all[0];
  EightInts at = values == all ? places : EightInts{} + std::numeric_limits<std::int32_t>::max();
  first_of(at, __builtin_shufflevector(at, at, 4, 5, 6, 7, 0, 1, 2, 3));
  first_of(at, __builtin_shufflevector(at, at, 2, 3, 0, 1, 6, 7, 4, 5));
  first_of(at, __builtin_shufflevector(at, at, 1, 0, 3, 2, 5, 4, 7, 6));
  place = at[0];
}

// The first of the largest sizes of a row, those that pad it apart.
struct LargestSize {
  const float* size;
  Index num_vectors;
  Index place = -1;

  EPLB_INLINE void run() {
    Eight most = Eight{} - 1.0F, each;
    EightInts found{}, places{};
    for (Index v = 0; v < num_vectors; ++v) {
      load(each, size + v * kEight);
      count_from(places, v * kEight);
      const EightInts is_more = (each > most) & (each < kHuge);
      most = is_more ? each : most;
      found = is_more ? places : found;
    }
    float least = kHuge;
    least_of(-most, found, least, place);
  }
};

// The first of the least sizes of a row that is below `least`.
struct LeastSize {
  const float* size;
  Index num_vectors;
  float least;
  Index place = -1;

  EPLB_INLINE void run() {
    Eight fewest = Eight{} + least, each;
    EightInts found = EightInts{} - 1, places{};
    for (Index v = 0; v < num_vectors; ++v) {
      load(each, size + v * kEight);
      count_from(places, v * kEight);
      const EightInts is_less = each < fewest;
      fewest = is_less ? each : fewest;
      found = is_less ? places : found;
    }
    least_of(fewest, found, least, place);
  }
};

// Takes the largest of a row with which a replica adds up to no more than `most`; what is the least
// of those that are left. What is taken is kHuge.
struct BestFit {
  float* size;
  Index num_vectors;
  float with, most;
  Index place = -1;
  float least_left = kHuge;

  EPLB_INLINE void run() {
    Eight best = Eight{} + kHuge, each;
    EightInts found = EightInts{} - 1, places{};
    for (Index v = 0; v < num_vectors; ++v) {
      load(each, size + v * kEight);
      count_from(places, v * kEight);
      const EightInts is_better = (each + with <= most) & (-each < best);
      best = is_better ? -each : best;
      found = is_better ? places : found;
    }
    float least = kHuge;
    least_of(best, found, least, place);
    if (place >= 0) size[place] = kHuge;
    Eight left = Eight{} + kHuge;
    for (Index v = 0; v < num_vectors; ++v) {
      load(each, size + v * kEight);
      lower(left, each);
    }
    Index unused = -1;
    least_of(left, places, least_left, unused);
  }
};

// What a node can give a slot of: the lightest expert to change places with, the lightest that is not
// at home, and the one whose replicas grow least large by one less, if not beyond the limit.
struct Spares {
  const float *size, *fewer;
  const std::int32_t* home;
  Index num_vectors, node;
  float limit;
  Index lightest = -1, lightest_away = -1, spare = -1;

  EPLB_INLINE void run() {
    Eight least = Eight{} + kHuge, least_away = least, grown = Eight{} + limit, each, then;
    EightInts at = EightInts{} - 1, at_away = at, at_grown = at, places{}, homes;
    for (Index v = 0; v < num_vectors; ++v) {
      load(each, size + v * kEight), load(then, fewer + v * kEight), load(homes, home + v * kEight);
      count_from(places, v * kEight);
      EightInts is_less = each < least;
      least = is_less ? each : least;
      at = is_less ? places : at;
      is_less = (each < least_away) & (homes != static_cast<std::int32_t>(node));
      least_away = is_less ? each : least_away;
      at_away = is_less ? places : at_away;
      is_less = then < grown;
      grown = is_less ? then : grown;
      at_grown = is_less ? places : at_grown;
    }
    float one = kHuge, two = kHuge, three = limit;
    least_of(least, at, one, lightest);
    least_of(least_away, at_away, two, lightest_away);
    least_of(grown, at_grown, three, spare);
  }
};

// What is worth most to take off a node that is too heavy: an expert that changes places with one of
// two of another node, or gets a further replica there in the place of one that can be spared.
struct Shedding {
  struct Other {
    std::int32_t expert;  // -1 where there is none
    float size, paid;     // its replica, and the price of its traffic
  };

  const float *size, *more, *fall, *added;
  const std::int32_t *home, *member;
  Index num_vectors, from, to;
  float price, mine, room, over, slope, slope_there, theirs;
  Other others[2], spare;  // paid for the spare: what is served away more without it
  float best;  // only what is less is found
  // The best in the place of the first and the second of the others, and of the spare.
  Index place[3] = {-1, -1, -1};
  float found_worth[3] = {};

  EPLB_INLINE void run() {
    Eight worth[3];
    EightInts found[3];
    for (int k = 0; k < 3; ++k) worth[k] = Eight{} + best, found[k] = EightInts{} - 1;
    for (Index v = 0; v < num_vectors; ++v) {
      EightInts homes, members, places{};
      load(homes, home + v * kEight), load(members, member + v * kEight);
      count_from(places, v * kEight);
      for (int k = 0; k < 2; ++k) {
        const std::int32_t other = others[k].expert;
        if (other < 0) continue;
        keep(swapped(v, homes, others[k]), members != other, places, worth[k], found[k]);
      }
      if (spare.expert < 0) continue;
      keep(copied(v, homes), members != spare.expert, places, worth[2], found[2]);
    }
    for (int k = 0; k < 3; ++k) {
      found_worth[k] = best;
      least_of(worth[k], found[k], found_worth[k], place[k]);
    }
  }

  EPLB_INLINE static void keep(const Eight& value, const EightInts& may, const EightInts& places,
                               Eight& least, EightInts& found) {
    const EightInts is_less = (value < least) & may;
    least = is_less ? value : least;
    found = is_less ? places : found;
  }

  // What is below 0 helps.
  EPLB_INLINE Eight swapped(Index v, const EightInts& homes, const Other& other) const {
    Eight sizes;
    load(sizes, size + v * kEight);
    const Eight moved = sizes - other.size, zero = {};
    const Eight leave = homes == static_cast<std::int32_t>(from) ? sizes : zero;
    const Eight come = homes == static_cast<std::int32_t>(to) ? sizes : zero;
    Eight gained = moved;
    lower(gained, zero + mine);
    const Eight risen = moved > zero + room ? slope_there * (moved - (room + over)) : zero;
    return price * (leave - come) + other.paid + risen - slope * gained;
  }

  EPLB_INLINE Eight copied(Index v, const EightInts& homes) const {
    Eight then, fallen, away;
    load(then, more + v * kEight), load(fallen, fall + v * kEight), load(away, added + v * kEight);
    const Eight zero = {};
    const Eight there = homes == static_cast<std::int32_t>(to) ? away - then : away;
    Eight risen = theirs + then;
    raise(risen, zero);
    risen = slope_there * (risen - over);
    lower(fallen, zero + mine);
    return price * there + spare.paid + risen - slope * fallen;
  }
};

}  // namespace eplb::serving
