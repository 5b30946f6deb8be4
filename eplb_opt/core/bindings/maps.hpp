// Tables that are written without Python and then given to it, and the three maps of a plan.
#pragma once

#include <algorithm>
#include <memory>
#include <tuple>

#include "bindings/arrays.hpp"
#include "greedy/maps.hpp"

namespace eplb::bind {

// A table of numbers whose memory is not cleared first.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Index rows, Index columns)
      : rows_(rows), columns_(columns), data_(std::make_unique_for_overwrite<T[]>(rows * columns)) {}

  Table<T> table() const { return {data_.get(), rows_, columns_}; }

  // The numpy array of a shape with as many entries, which owns the memory from now on.
  template <typename Array>
  Array release(std::initializer_list<std::size_t> shape) {
    nb::capsule owner(data_.get(), [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Array(data_.release(), shape, owner);
  }

 private:
  Index rows_ = 0, columns_ = 0;
  std::unique_ptr<T[]> data_;
};

using NumpyCube = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<3>, nb::c_contig>;
using Maps = std::tuple<NumpyMatrix<std::int64_t>, NumpyCube, NumpyMatrix<std::int64_t>>;

// The slots of every expert, as wide as the largest count.
inline Buffer<std::int64_t> listed(Table<const std::int64_t> placed,
                                   Table<const std::int64_t> counts) {
  const Index width = *std::ranges::max_element(counts.all());
  Buffer<std::int64_t> slots(placed.rows(), counts.columns() * width);
  greedy::list_slots(placed, width, slots.table());
  return slots;
}

inline Maps to_maps(Buffer<std::int64_t> placed, Buffer<std::int64_t> slots,
                    Buffer<std::int64_t> counts) {
  const auto rows = static_cast<std::size_t>(placed.table().rows());
  const auto num_slots = static_cast<std::size_t>(placed.table().columns());
  const auto experts = static_cast<std::size_t>(counts.table().columns());
  const auto width = static_cast<std::size_t>(slots.table().columns()) / experts;
  return {placed.release<NumpyMatrix<std::int64_t>>({rows, num_slots}),
          slots.release<NumpyCube>({rows, experts, width}),
          counts.release<NumpyMatrix<std::int64_t>>({rows, experts})};
}

}  // namespace eplb::bind
