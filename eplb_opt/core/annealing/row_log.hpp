// What a move changes in a table, row by row, so that it can be undone.
#pragma once

#include <vector>

#include "common/lanes.hpp"

namespace eplb::annealing {

class RowLog {
 public:
  RowLog(Index num_rows, Index num_columns) : mark_(num_rows), kept_(num_rows, num_columns) {}

  void clear() { rows_.clear(); }
  std::span<const Index> rows() const { return rows_; }

  // Keeps what a row is before its first change by a move. Moves have numbers from 1 on.
  EPLB_INLINE void note(Index row, const LaneTable& table, Index move) {
    if (mark_[row] == move) return;
    mark_[row] = move;
    copy(table[row], kept_[std::ssize(rows_)]);
    rows_.push_back(row);
  }

  EPLB_INLINE void restore(LaneTable& table) const {
    for (Index i = 0; i < std::ssize(rows_); ++i) copy(kept_[i], table[rows_[i]]);
  }

 private:
  EPLB_INLINE void copy(const Lanes* from, Lanes* to) const {
    for (Index i = 0; i < kept_.width(); ++i) to[i] = from[i];
  }

  std::vector<Index> mark_, rows_;
  LaneTable kept_;
};

}  // namespace eplb::annealing
