#include "greedy/placer.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "common/wide.hpp"
#include "greedy/columns.hpp"
#include "greedy/contests.hpp"
#include "greedy/keys.hpp"

namespace eplb::greedy {

namespace {

// What is known of the row in one lane.
struct Lane {
  Lane(Index num_experts, Index num_slots, Index num_packs)
      : place(num_experts), count(num_experts), made(num_slots), next(num_packs) {
    std::iota(made.begin(), made.begin() + num_experts, 0);
  }

  const float* load = nullptr;
  std::int64_t* placed = nullptr;
  std::vector<std::int32_t> place;  // of an expert in the contest for replicas
  std::vector<std::int32_t> count;  // replicas of every expert
  std::vector<std::int32_t> made;   // expert of every replica, as they were made
  std::vector<std::int32_t> next;   // free slot of every pack
};

EPLB_INLINE double share_key(const Lane& lane, Index expert, Index index) {
  const float share = lane.load[expert] / static_cast<float>(lane.count[expert]);
  return keys::sortable(keys::heaviest_first(bits_of(share), index));
}

EPLB_INLINE Index split(Lane& lane, Index expert, Index replica) {
  lane.made[replica] = static_cast<std::int32_t>(expert);
  ++lane.count[expert];
  return lane.place[expert];
}

template <bool kOneBlock>
EPLB_INLINE void split_experts(std::span<Lane> lanes, Contests& experts, Index num_experts) {
  Quad heaviest;
  for (Index replica = num_experts; replica < std::ssize(lanes[0].made); ++replica) {
    for (Index first = 0; first < std::ssize(lanes); first += 4) {
      experts.lowest<kOneBlock>(first, heaviest);
      for (Index i = 0; i < std::min<Index>(4, std::ssize(lanes) - first); ++i) {
        Lane& lane = lanes[first + i];
        const Index expert = keys::index_of(keys::key_of(heaviest[i]));
        const Index place = split(lane, expert, replica);
        experts.replace<kOneBlock>(first + i, place, share_key(lane, expert, expert));
      }
    }
  }
}

EPLB_WIDE void split_few(std::span<Lane> lanes, Contests& experts, Index num_experts) {
  split_experts<true>(lanes, experts, num_experts);
}
EPLB_WIDE void split_many(std::span<Lane> lanes, Contests& experts, Index num_experts) {
  split_experts<false>(lanes, experts, num_experts);
}

// The keys of four packs after each has taken a replica.
EPLB_INLINE void add_loads(Quad& packs, const Quad& replicas) {
  // Casts between vectors of one size keep the bits.
  const QuadBits pack = (QuadBits)packs - keys::kOffset;
  const QuadBits replica = (QuadBits)replicas - keys::kOffset;
  const QuadBits held = pack >> keys::kIndexBits;
  const QuadBits added = 0x7FFFFFFFU - (replica >> keys::kIndexBits);
  const QuadBits sum = (QuadBits)((QuadFloats)held + (QuadFloats)added);
  packs = (Quad)((sum << keys::kIndexBits | (pack & keys::kIndexMask)) + keys::kOffset);
}

// The pack's key after it has taken a replica: full packs are above all others. An arithmetic
// choice, for no branch predictor guesses it.
EPLB_INLINE double put_down(Lane& lane, Index replica, Index pack, Index room, double loaded) {
  const Index slot = lane.next[pack]++;
  lane.placed[slot] = lane.made[replica];
  const std::uint64_t is_full = slot + 1 == (pack + 1) * room, key = keys::key_of(loaded);
  return keys::sortable(key ^ ((key ^ keys::kHighest) & (0 - is_full)));
}

template <bool kOneBlock>
EPLB_INLINE void pack_replicas(std::span<Lane> lanes, Contests& packs,
                               std::span<const KeyRow> heaviest, Index room) {
  Quad lightest, taken, loaded;
  for (const KeyRow& replicas : heaviest) {
    for (Index first = 0; first < std::ssize(lanes); first += 4) {
      packs.lowest<kOneBlock>(first, lightest);
      load(taken, replicas.lane + first);
      loaded = lightest;
      add_loads(loaded, taken);
      for (Index i = 0; i < std::min<Index>(4, std::ssize(lanes) - first); ++i) {
        const Index replica = keys::index_of(keys::key_of(taken[i]));
        const Index pack = keys::index_of(keys::key_of(lightest[i]));
        const double key = put_down(lanes[first + i], replica, pack, room, loaded[i]);
        packs.replace<kOneBlock>(first + i, pack, key);
      }
    }
  }
}

EPLB_WIDE void pack_few(std::span<Lane> lanes, Contests& packs, std::span<const KeyRow> heaviest,
                        Index room) {
  pack_replicas<true>(lanes, packs, heaviest, room);
}
EPLB_WIDE void pack_many(std::span<Lane> lanes, Contests& packs, std::span<const KeyRow> heaviest,
                         Index room) {
  pack_replicas<false>(lanes, packs, heaviest, room);
}

// Places kLanes rows side by side: each waits for its own memory, so their waits overlap.
class Placer {
 public:
  Placer(const Rows& rows, Index rows_per_layer, Table<std::int64_t> placed,
         Table<std::int64_t> counts)
      : rows_(rows),
        rows_per_layer_(rows_per_layer),
        placed_(placed),
        counts_(counts),
        num_experts_(rows.num_experts()),
        extra_(rows.num_slots - num_experts_),
        num_split_(std::min(extra_, num_experts_)),
        room_(rows.num_slots / rows.num_packs),
        half_(std::max(network_size(num_experts_ - num_split_),
                       network_size(num_split_ + extra_))),
        sorted_(num_experts_),
        replicas_(2 * half_),
        experts_(std::max<Index>(num_split_, 1)),
        packs_(rows.num_packs),
        lanes_(std::min(kLanes, rows.num_rows()),
               Lane(num_experts_, rows.num_slots, rows.num_packs)) {}

  void run() {
    for (Index first = 0; first < rows_.num_rows(); first += kLanes) {
      take(first);
      sort_experts();
      replicate();
      if (room_ > 1) {
        sort_replicas();
        pack();
      } else {
        keep_order();
      }
      name_experts(first);
    }
  }

 private:
  void take(Index first) {
    active_ = std::min(kLanes, rows_.num_rows() - first);
    for (Index i = 0; i < active_; ++i) {
      lanes_[i].load = rows_.load[first + i].data();
      lanes_[i].placed = placed_[first + i].data();
      std::ranges::fill(lanes_[i].count, 1);
    }
  }

  void sort_experts() {
    for (Index i = 0; i < kLanes; ++i) {
      // Lanes without a row of their own do what the last one does.
      const float* const load = lanes_[std::min(i, active_ - 1)].load;
      for (Index expert = 0; expert < num_experts_; ++expert) {
        sorted_[expert].lane[i] =
            keys::sortable(keys::heaviest_first(bits_of(load[expert]), expert));
      }
    }
    sorted_.sort(0, num_experts_);
  }

  // Only the heaviest can come to have more than one replica: each new one splits an expert, and no
  // expert is split before a heavier one is.
  void replicate() {
    if (extra_ == 0) return;
    for (Index i = 0; i < active_; ++i) {
      experts_.start(i, num_split_, [&](Index place) {
        const double key = sorted_[place].lane[i];
        lanes_[i].place[keys::index_of(keys::key_of(key))] = static_cast<std::int32_t>(place);
        return key;
      });
    }
    const auto split_all = experts_.has_one_block() ? split_few : split_many;
    split_all(active_lanes(), experts_, num_experts_);
  }

  std::span<Lane> active_lanes() { return {lanes_.data(), static_cast<std::size_t>(active_)}; }

  // The experts that could not be split are sorted; the others' replicas are sorted apart and merged
  // with them. A replica's index is its place in `made`.
  void sort_replicas() {
    const Index kept = num_experts_ - num_split_;
    for (Index row = 0; row < half_ - kept; ++row) {
      for (double& key : replicas_[row].lane) key = keys::sortable(keys::kLowest);
    }
    for (Index row = 0; row < kept; ++row) replicas_[half_ - kept + row] = sorted_[num_split_ + row];
    if (extra_ == 0) return;
    for (Index i = 0; i < kLanes; ++i) {
      const Lane& lane = lanes_[std::min(i, active_ - 1)];
      for (Index row = 0; row < num_split_; ++row) {
        const Index expert = keys::index_of(keys::key_of(sorted_[row].lane[i]));
        put_replica(lane, half_ + row, i, expert);
      }
      for (Index turn = 0; turn < extra_; ++turn) {
        put_replica(lane, half_ + num_split_ + turn, i, num_experts_ + turn);
      }
    }
    replicas_.sort(half_, num_split_ + extra_);
    if (kept > 0) replicas_.merge(half_, num_split_ + extra_);
  }

  void put_replica(const Lane& lane, Index row, Index i, Index replica) {
    replicas_[row].lane[i] = share_key(lane, lane.made[replica], replica);
  }

  void pack() {
    for (Index i = 0; i < active_; ++i) {
      packs_.start(i, rows_.num_packs, [&](Index pack) {
        lanes_[i].next[pack] = static_cast<std::int32_t>(pack * room_);
        return keys::sortable(keys::lightest_first(0, pack));
      });
    }
    const Index kept = num_experts_ - num_split_;
    const auto pack_all = packs_.has_one_block() ? pack_few : pack_many;
    pack_all(active_lanes(), packs_, replicas_.rows().subspan(half_ - kept, rows_.num_slots), room_);
  }

  void keep_order() {
    for (Index i = 0; i < active_; ++i) std::ranges::copy(lanes_[i].made, lanes_[i].placed);
  }

  // From the row's experts to the layer's.
  void name_experts(Index first) {
    for (Index i = 0; i < active_; ++i) {
      const std::span<std::int64_t> counts = counts_[(first + i) / rows_per_layer_];
      if (rows_.members == nullptr) {
        std::ranges::copy(lanes_[i].count, counts.begin());
        continue;
      }
      const std::int64_t* const members = rows_.members + (first + i) * num_experts_;
      for (std::int64_t& expert : placed_[first + i]) expert = members[expert];
      for (Index e = 0; e < num_experts_; ++e) counts[members[e]] = lanes_[i].count[e];
    }
  }

  const Rows& rows_;
  Index rows_per_layer_;
  Table<std::int64_t> placed_, counts_;
  Index num_experts_, extra_, num_split_, room_, half_, active_ = 0;
  Columns sorted_, replicas_;
  Contests experts_, packs_;
  std::vector<Lane> lanes_;
};

}  // namespace

void place_rows(const Rows& rows, Index rows_per_layer, Table<std::int64_t> placed,
                Table<std::int64_t> counts) {
  Placer(rows, rows_per_layer, placed, counts).run();
}

}  // namespace eplb::greedy
