#include "moves/assignment.hpp"

#include <algorithm>

namespace eplb::moves {

namespace {

class Matching {
 public:
  explicit Matching(const std::vector<std::vector<Worth>>& rows)
      : rows_(rows),
        column_of_(rows.size(), -1),
        row_of_(rows.size(), -1),
        reached_from_(rows.size()),
        root_(rows.size()),
        column_price_(rows.size()) {
    for (const auto& row : rows) {
      for (const Worth& worth : row) price_ = std::max(price_, worth.value);
    }
    row_price_.assign(rows.size(), price_);
  }

  std::vector<Index> run() {
    while (price_ > 0) {
      if (!augment()) lower_prices();
    }
    Index column = 0;
    for (Index& partner : column_of_) {
      if (partner >= 0) continue;
      while (row_of_[column] >= 0) ++column;
      partner = column++;
    }
    return column_of_;
  }

 private:
  static constexpr Index kNone = -1;

  Index size() const { return std::ssize(rows_); }
  std::int64_t slack(Index row, const Worth& worth) const {
    return row_price_[row] + column_price_[worth.column] - worth.value;
  }

  // Grows a tree of tight pairs from every row without a partner; whether any found a free column.
  // A tree that has found one grows no further.
  bool augment() {
    std::ranges::fill(reached_from_, kNone);
    std::ranges::fill(root_, kNone);
    std::vector<char> is_done(rows_.size());
    queue_.clear();
    for (Index row = 0; row < size(); ++row) {
      if (column_of_[row] == kNone) reach(row, row);
    }
    bool found = false;
    for (Index at = 0; at < std::ssize(queue_); ++at) {
      const Index row = queue_[at];
      for (const Worth& worth : rows_[row]) {
        if (is_done[root_[row]]) break;
        if (reached_from_[worth.column] != kNone || slack(row, worth) != 0) continue;
        reached_from_[worth.column] = row;
        const Index partner = row_of_[worth.column];
        if (partner != kNone) {
          reach(partner, root_[row]);
        } else {
          is_done[root_[row]] = found = true;
          match_along_path(worth.column);
        }
      }
    }
    return found;
  }

  void reach(Index row, Index root) {
    root_[row] = root;
    queue_.push_back(row);
  }

  void match_along_path(Index column) {
    while (column != kNone) {
      const Index row = reached_from_[column];
      const Index next = column_of_[row];
      column_of_[row] = column;
      row_of_[column] = row;
      column = next;
    }
  }

  // Lowers the price of the rows reached until a further pair is tight or the price is 0.
  void lower_prices() {
    std::int64_t step = price_;
    for (const Index row : queue_) {
      for (const Worth& worth : rows_[row]) {
        if (reached_from_[worth.column] == kNone) step = std::min(step, slack(row, worth));
      }
    }
    for (const Index row : queue_) row_price_[row] -= step;
    for (Index column = 0; column < size(); ++column) {
      if (reached_from_[column] != kNone) column_price_[column] += step;
    }
    price_ -= step;
  }

  const std::vector<std::vector<Worth>>& rows_;
  std::vector<Index> column_of_, row_of_;
  std::vector<Index> reached_from_;  // of columns, the row they were reached from
  std::vector<Index> root_;          // of rows, the one whose tree they are in
  std::vector<Index> queue_;
  std::vector<std::int64_t> row_price_, column_price_;
  std::int64_t price_ = 0;
};

}  // namespace

std::vector<Index> best_assignment(const std::vector<std::vector<Worth>>& rows) {
  return Matching(rows).run();
}

}  // namespace eplb::moves
