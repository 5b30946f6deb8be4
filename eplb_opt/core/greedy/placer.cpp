#include "greedy/placer.hpp"

#include <algorithm>
#include <vector>

#include "greedy/columns.hpp"
#include "greedy/keys.hpp"
#include "greedy/tournament.hpp"

namespace eplb::greedy {

namespace {

// What is known of the row in one lane.
struct Lane {
  Lane(Index num_experts, Index num_slots, Index num_split, Index num_packs)
      : experts(num_split), packs(num_packs), spot(num_experts), count(num_experts),
        made(num_slots), next(num_packs) {}

  const float* load = nullptr;
  std::int64_t* placed = nullptr;
  Tournament experts, packs;
  std::vector<std::int32_t> spot;   // leaf of an expert that may be split
  std::vector<std::int32_t> count;  // replicas of every expert
  std::vector<std::int32_t> made;   // expert of every replica, as they were made
  std::vector<std::int32_t> next;   // first free slot of every pack
};

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
        experts_(num_experts_),
        replicas_(2 * half_),
        lanes_(std::min(kLanes, rows.num_rows()),
               Lane(num_experts_, rows.num_slots, std::max<Index>(num_split_, 1), rows.num_packs)) {
    for (Lane& lane : lanes_) {
      for (Index expert = 0; expert < num_experts_; ++expert) {
        lane.made[expert] = static_cast<std::int32_t>(expert);
      }
    }
  }

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
        experts_[expert].lane[i] =
            keys::sortable(keys::heaviest_first(bits_of(load[expert]), expert));
      }
    }
    experts_.sort(0, num_experts_);
  }

  // Only the heaviest can come to have more than one replica: each new one splits an expert, and no
  // expert is split before a heavier one is.
  void replicate() {
    if (extra_ == 0) return;
    for (Index i = 0; i < active_; ++i) seed_experts(i);
    for (Index turn = 0; turn < extra_; ++turn) {
      for (Index i = 0; i < active_; ++i) split_heaviest(lanes_[i], turn);
    }
  }

  void seed_experts(Index i) {
    Lane& lane = lanes_[i];
    for (Index leaf = 0; leaf < lane.experts.leaves(); ++leaf) {
      if (leaf >= num_split_) {
        lane.experts.seed(leaf, keys::kHighest);
        continue;
      }
      const std::uint64_t key = keys::key_of(experts_[leaf].lane[i]);
      lane.spot[keys::index_of(key)] = static_cast<std::int32_t>(leaf);
      lane.experts.seed(leaf, key);
    }
    lane.experts.start();
  }

  void split_heaviest(Lane& lane, Index turn) {
    const Index expert = keys::index_of(lane.experts.lowest());
    lane.made[num_experts_ + turn] = static_cast<std::int32_t>(expert);
    ++lane.count[expert];
    lane.experts.replace(lane.spot[expert], keys::heaviest_first(share_bits(lane, expert), expert));
  }

  static std::uint32_t share_bits(const Lane& lane, Index expert) {
    return bits_of(lane.load[expert] / static_cast<float>(lane.count[expert]));
  }

  // The experts that could not be split are sorted; the others' replicas are sorted apart and merged
  // with them. A replica's index is its place in `made`.
  void sort_replicas() {
    const Index kept = num_experts_ - num_split_;
    for (Index row = 0; row < half_ - kept; ++row) {
      for (double& key : replicas_[row].lane) key = keys::sortable(keys::kLowest);
    }
    for (Index row = 0; row < kept; ++row) replicas_[half_ - kept + row] = experts_[num_split_ + row];
    if (extra_ == 0) return;
    for (Index i = 0; i < kLanes; ++i) {
      const Lane& lane = lanes_[std::min(i, active_ - 1)];
      for (Index row = 0; row < num_split_; ++row) {
        const Index expert = keys::index_of(keys::key_of(experts_[row].lane[i]));
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
    const Index expert = lane.made[replica];
    replicas_[row].lane[i] =
        keys::sortable(keys::heaviest_first(share_bits(lane, expert), replica));
  }

  void pack() {
    for (Index i = 0; i < active_; ++i) seed_packs(lanes_[i]);
    const KeyRow* const heaviest = &replicas_[half_ - (num_experts_ - num_split_)];
    for (Index turn = 0; turn < rows_.num_slots; ++turn) {
      for (Index i = 0; i < active_; ++i) put_down(lanes_[i], keys::key_of(heaviest[turn].lane[i]));
    }
  }

  void seed_packs(Lane& lane) {
    for (Index pack = 0; pack < lane.packs.leaves(); ++pack) {
      const bool exists = pack < rows_.num_packs;
      lane.packs.seed(pack, exists ? keys::lightest_first(0, pack) : keys::kHighest);
      if (exists) lane.next[pack] = static_cast<std::int32_t>(pack * room_);
    }
    lane.packs.start();
  }

  void put_down(Lane& lane, std::uint64_t replica) {
    const std::uint64_t lightest = lane.packs.lowest();
    const Index pack = keys::index_of(lightest);
    const Index slot = lane.next[pack]++;
    lane.placed[slot] = lane.made[keys::index_of(replica)];
    const float load = load_of(keys::heavy_bits(replica)) + load_of(keys::light_bits(lightest));
    const bool is_full = slot + 1 == (pack + 1) * room_;
    lane.packs.replace(
        pack, is_full ? keys::kHighest : keys::lightest_first(bits_of(load), pack));
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
  Columns experts_, replicas_;
  std::vector<Lane> lanes_;
};

}  // namespace

void place_rows(const Rows& rows, Index rows_per_layer, Table<std::int64_t> placed,
                Table<std::int64_t> counts) {
  Placer(rows, rows_per_layer, placed, counts).run();
}

}  // namespace eplb::greedy
