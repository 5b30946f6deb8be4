// How an engine splits an expert's tokens over its replicas where the parts need not be equal.
//
// A rule says of each replica which column of a table holds its load: the number of GPUs that send
// their tokens to it, or the number of the expert's replicas. What a column is worth is the
// caller's business, so that a load need not be proportional to the senders.
#pragma once

#include <algorithm>
#include <vector>

#include "common/inline.hpp"
#include "common/views.hpp"

namespace eplb::shares {

// Every replica gets the same part: the column is their number.
class ByCount {
 public:
  explicit ByCount(Index most) : most_(most) {}

  // Columns go from 0 to this one.
  Index last_column() const { return most_; }
  // How many replicas an expert may have.
  Index most_copies() const { return most_; }
  // Whether the columns of so many replicas are the same wherever they stand.
  EPLB_INLINE bool is_fixed(Index) const { return true; }
  // The columns of an expert's replicas, whose slots ascend.
  EPLB_INLINE void columns(std::span<const Index> slots, Index* column) const {
    std::fill_n(column, slots.size(), std::ssize(slots));
  }

 private:
  Index most_;
};

// The GPUs that send take an expert's replicas in turn, in the order of their slots: the column is
// the number of GPUs that send to a replica.
class RankModulo {
 public:
  RankModulo(Index num_senders, Index most) : num_senders_(num_senders), most_(most) {}

  Index last_column() const { return num_senders_; }
  Index most_copies() const { return most_; }
  Index num_senders() const { return num_senders_; }
  EPLB_INLINE bool is_fixed(Index count) const { return num_senders_ % count == 0; }
  // Whether a replica that moves likely keeps its column, and so do the others.
  EPLB_INLINE bool likely_keeps(Index, Index, Index) const { return true; }
  // Whether so many replicas get equal parts, if they stand as `num_nodes` and `node` have it.
  bool is_level(Index count) const { return is_fixed(count); }
  // Replicas stand on different nodes while there are as many, and else on different GPUs of one.
  Index num_nodes() const { return 1; }
  Index node(Index) const { return 0; }
  EPLB_INLINE void columns(std::span<const Index> slots, Index* column) const {
    const Index count = std::ssize(slots), each = num_senders_ / count;
    const Index odd = num_senders_ - each * count;
    for (Index i = 0; i < count; ++i) column[i] = each + (i < odd ? 1 : 0);
  }

 private:
  Index num_senders_, most_;
};

// A GPU sends to the only replica, else to the first on itself, else to the first on its node where
// that does not hold them all. The GPUs that are left are dealt over all replicas in equal parts,
// and the odd ones by chance: the column is the largest number of GPUs that may send to a replica,
// where the replicas on one GPU together get as many as may come to that GPU.
class Nearest {
 public:
  // The node of each GPU, ascending from 0, and the first slot of each GPU, with the last one's end.
  Nearest(std::span<const Index> node, std::span<const Index> first, Index most)
      : most_(most), num_gpus_(std::ssize(node)), size_(node.back() + 1) {
    for (Index gpu = 0; gpu < num_gpus_; ++gpu) {
      ++size_[node[gpu]];
      gpu_.resize(first[gpu + 1], gpu);
      node_.resize(first[gpu + 1], node[gpu]);
    }
  }

  Index num_slots() const { return std::ssize(gpu_); }
  Index last_column() const { return num_gpus_; }
  Index most_copies() const { return most_; }
  Index num_senders() const { return num_gpus_; }
  EPLB_INLINE bool is_fixed(Index count) const { return count == 1; }
  bool is_level(Index count) const {
    return num_gpus_ % count == 0 &&
           (count <= num_nodes() || count <= *std::ranges::min_element(size_));
  }
  Index num_nodes() const { return std::ssize(size_); }
  Index node(Index slot) const { return node_[slot]; }
  EPLB_INLINE bool likely_keeps(Index count, Index from, Index to) const {
    return count == 1 || node_[from] == node_[to];
  }
  EPLB_INLINE void columns(std::span<const Index> slots, Index* column) const {
    const Index count = std::ssize(slots);
    if (count == 1) {
      column[0] = num_gpus_;
      return;
    }
    Index left = num_gpus_;
    for (Index begin = 0, end = 0; begin < count; begin = end) {
      const Index node = node_[slots[begin]];
      Index gpus = 0;  // those of the node that hold a replica
      for (; end < count && node_[slots[end]] == node; ++end) {
        const bool is_first = end == begin || gpu_[slots[end]] != gpu_[slots[end - 1]];
        column[end] = is_first ? 1 : 0;
        gpus += column[end];
      }
      const bool has_all = end - begin == count;
      if (!has_all) column[begin] += size_[node] - gpus;
      left -= has_all ? gpus : size_[node];
    }
    const Index each = left / count, odd = left - each * count;
    for (Index i = 0, place = 0; i < count; ++i) {
      const bool is_first = i == 0 || gpu_[slots[i]] != gpu_[slots[i - 1]];
      place = is_first ? 0 : place + 1;
      column[i] += each + (place < odd ? 1 : 0);
    }
  }

 private:
  Index most_, num_gpus_;
  std::vector<Index> size_;         // GPUs of each node
  std::vector<Index> gpu_, node_;  // of each slot
};

}  // namespace eplb::shares
