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

// GPU r sends to replica r mod n of an expert's n, which are numbered in the order of their slots:
// the column is the number of GPUs that send to a replica.
class RankModulo {
 public:
  // The numbers of the GPUs that send, and how many replicas an expert may have.
  RankModulo(std::span<const Index> ranks, Index most)
      : most_(most), num_senders_(std::ssize(ranks)), begin_{0, 0}, is_even_{1} {
    for (Index count = 1; count <= most; ++count) {
      const Index begin = std::ssize(senders_);
      senders_.resize(begin + count);
      for (const Index rank : ranks) ++senders_[begin + rank % count];
      const auto [least, largest] = std::minmax_element(senders_.begin() + begin, senders_.end());
      is_even_.push_back(*least == *largest);
      begin_.push_back(std::ssize(senders_));
    }
  }

  Index last_column() const { return num_senders_; }
  Index most_copies() const { return most_; }
  EPLB_INLINE bool is_fixed(Index count) const { return is_even_[count] != 0; }
  EPLB_INLINE void columns(std::span<const Index> slots, Index* column) const {
    std::copy_n(senders_.data() + begin_[slots.size()], slots.size(), column);
  }

 private:
  Index most_, num_senders_;
  std::vector<Index> begin_;    // of each number of replicas in the next
  std::vector<Index> senders_;  // for each number of replicas, of each of them
  std::vector<char> is_even_;
};

// A GPU sends to the only replica, else to the first on itself, else to the first on its node where
// that does not hold them all; the GPUs that are left are dealt over all replicas in equal parts,
// by chance where these are not whole, and so every replica may get one more. The column is the
// largest number of GPUs that may send to a replica.
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
  EPLB_INLINE bool is_fixed(Index count) const { return count == 1; }
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
    const Index dealt = (left + count - 1) / count;
    for (Index i = 0; i < count; ++i) column[i] += dealt;
  }

 private:
  Index most_, num_gpus_;
  std::vector<Index> size_;         // GPUs of each node
  std::vector<Index> gpu_, node_;  // of each slot
};

}  // namespace eplb::shares
