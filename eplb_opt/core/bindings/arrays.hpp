// From numpy's arrays to views: no copy is made, and what does not fit is refused with its numbers.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/views.hpp"

namespace eplb::bind {

namespace nb = nanobind;

// Arrays in row-major order on the CPU. Arguments of these types are to be marked `.noconvert()`
// where they are written: a converted argument is a copy, and what is written there is lost.
template <typename T>
using Row = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using NumpyRow = nb::ndarray<nb::numpy, T, nb::ndim<1>, nb::c_contig>;
template <typename T>
using NumpyMatrix = nb::ndarray<nb::numpy, T, nb::ndim<2>, nb::c_contig>;

inline void require(bool holds, const std::string& message) {
  if (!holds) throw std::invalid_argument(message);  // ValueError in Python
}

// A literal becomes a string only where it is thrown: checks of single entries come this way.
inline void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

// numpy lets numbers begin at any byte, which the processor's wide loads do not.
inline void require_aligned(const void* data, std::size_t alignment) {
  require(reinterpret_cast<std::uintptr_t>(data) % alignment == 0,
          "An array's numbers are not aligned; numpy.require(array, requirements=\"A\") mends it.");
}

template <typename T>
std::span<T> view(const Row<T>& array) {
  require_aligned(array.data(), alignof(T));
  return {array.data(), array.shape(0)};
}

template <typename T>
Table<T> view(const Matrix<T>& array) {
  require_aligned(array.data(), alignof(T));
  return {array.data(), static_cast<Index>(array.shape(0)), static_cast<Index>(array.shape(1))};
}

inline void require_size(const char* name, Index found, Index wanted) {
  if (found != wanted) {
    throw std::invalid_argument(std::string(name) + " has " + std::to_string(found) +
                                " entries, and " + std::to_string(wanted) + " are needed.");
  }
}

// Every entry is an index below `end`.
inline void require_indices(const char* name, std::span<const std::int64_t> entries, Index end) {
  for (const std::int64_t entry : entries) {
    if (entry < 0 || entry >= end) {
      throw std::invalid_argument(std::string(name) + " holds " + std::to_string(entry) +
                                  ", which is not in 0.." + std::to_string(end - 1) + ".");
    }
  }
}

// A numpy array that owns what the vector held.
template <typename T>
NumpyRow<T> to_numpy(std::vector<T> values) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  const std::size_t size = owned->size();
  nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  owned.release();
  return NumpyRow<T>(data, {size}, owner);
}

template <typename T>
NumpyMatrix<T> to_numpy(std::vector<T> values, Index rows, Index columns) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  owned.release();
  return NumpyMatrix<T>(data, {static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)},
                        owner);
}

}  // namespace eplb::bind
