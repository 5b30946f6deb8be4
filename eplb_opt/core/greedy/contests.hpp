// The lowest of a row of keys of which one changes at a time, in several lanes side by side.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "common/quads.hpp"
#include "common/views.hpp"
#include "greedy/columns.hpp"
#include "greedy/keys.hpp"

namespace eplb::greedy {

// A lane's lowest key is that of the block in which one has changed, or the lowest of all other
// blocks: two short scans by vectors, which end sooner than the way up a tree. The changed block is
// scanned when it is asked for: by then the change has reached the memory that vectors load from.
class Contests {
 public:
  explicit Contests(Index num_places)
      : num_blocks_((num_places + kBlock - 1) / kBlock),
        minima_((num_blocks_ + kVector - 1) / kVector * kVector),
        lane_size_(has_one_block() ? kBlock : num_blocks_ * kBlock + minima_),
        memory_(std::make_unique_for_overwrite<KeyRow[]>(lane_size_)) {
    std::fill_n(memory_[0].lane, kLanes * lane_size_, keys::sortable(keys::kHighest));
  }

  bool has_one_block() const { return num_blocks_ == 1; }

  // Set a lane's keys, first ones of all places; the others are above them.
  template <typename KeyOf>
  void start(Index lane, Index num_keys, const KeyOf& key_of) {
    double* const keys = memory_[0].lane + lane * lane_size_;
    std::fill_n(keys, lane_size_, keys::sortable(keys::kHighest));
    for (Index place = 0; place < num_keys; ++place) keys[place] = key_of(place);
    changed_[lane] = 0;
    for (Index block = 1; block < num_blocks_; ++block) {
      keys[num_blocks_ * kBlock + block] =
          *std::min_element(keys + block * kBlock, keys + (block + 1) * kBlock);
    }
  }

  // The lowest keys of the four lanes from `first` on. Here and below `kOneBlock` is what
  // has_one_block() says.
  template <bool kOneBlock>
  EPLB_INLINE void lowest(Index first, Quad& least) {
    Quad found[4];
    for (Index i = 0; i < 4; ++i) {
      const Index changed = kOneBlock ? 0 : changed_[first + i];
      scan(found[i], keys<kOneBlock>(first + i) + changed * kBlock, kBlock);
    }
    least_of_each(found, least);
    if (kOneBlock) return;
    for (Index i = 0; i < 4; ++i) scan(found[i], minima(first + i), minima_);
    for (Index i = 0; i < 4; ++i) minima(first + i)[changed_[first + i]] = least[i];
    Quad other;
    least_of_each(found, other);
    lower(least, other);
  }

  template <bool kOneBlock>
  EPLB_INLINE void replace(Index lane, Index place, double key) {
    keys<kOneBlock>(lane)[place] = key;
    if (kOneBlock) return;
    changed_[lane] = place / kBlock;
    minima(lane)[changed_[lane]] = keys::sortable(keys::kHighest);
  }

 private:
  static constexpr Index kVector = 8, kBlock = 32;

  template <bool kOneBlock>
  EPLB_INLINE double* keys(Index lane) const {
    return memory_[0].lane + lane * (kOneBlock ? kBlock : lane_size_);
  }
  EPLB_INLINE double* minima(Index lane) const { return keys<false>(lane) + num_blocks_ * kBlock; }

  static EPLB_INLINE void scan(Quad& least, const double* key, Index size) {
    Quad even, odd, other;
    load(even, key);
    load(odd, key + 4);
    for (Index i = kVector; i < size; i += kVector) {
      load(other, key + i);
      lower(even, other);
      load(other, key + i + 4);
      lower(odd, other);
    }
    lower(even, odd);
    least = even;
  }

  Index num_blocks_, minima_, lane_size_;
  Index changed_[kLanes] = {};
  std::unique_ptr<KeyRow[]> memory_;
};

}  // namespace eplb::greedy
