// Several sequences of keys sorted side by side, each in its own lane of a vector.
//
// A sorting network compares the same places whatever the keys are, so that one instruction serves
// all lanes, and no branch has to be guessed. The network is Batcher's bitonic sorter ("Sorting
// networks and their applications", 1968) in the form in which every comparison puts the lesser
// key at the lower place: then places past the end may be left out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "common/views.hpp"

namespace eplb::greedy {

constexpr Index kLanes = 8;

// One key of every lane, as the vector units compare them.
struct alignas(64) KeyRow {
  double lane[kLanes];
};

// Memory for key rows, whose number is a power of two that a network can work on.
class Columns {
 public:
  explicit Columns(Index least_rows);

  Index size() const { return size_; }
  KeyRow& operator[](Index row) { return rows_[row]; }
  std::span<KeyRow> rows() { return {rows_.get(), static_cast<std::size_t>(size_)}; }

  // Sort the rows [first, first + count). The rows after them, up to network_size(count), are
  // scratch.
  void sort(Index first, Index count);

  // Make one sorted sequence of [0, half) and [half, half + count), both sorted. `half` is a network
  // size of at least `count`; the rows after, up to half + network_size(count), are scratch.
  void merge(Index half, Index count);

 private:
  void fill_up(Index first, Index count);

  Index size_;
  std::unique_ptr<KeyRow[]> rows_;
};

// The least power of two that is no less than `number`, and at least 8.
Index network_size(Index number);

}  // namespace eplb::greedy
