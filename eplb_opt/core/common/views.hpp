// Views of arrays that somebody else owns: rows of a table, and the table itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace eplb {

using Index = std::int64_t;

// A table in row-major order; a row is a span.
template <typename T>
class Table {
 public:
  Table(T* data, Index rows, Index columns) : data_(data), rows_(rows), columns_(columns) {}

  // A table that may be written is one that may be read.
  operator Table<const T>() const { return {data_, rows_, columns_}; }

  Index rows() const { return rows_; }
  Index columns() const { return columns_; }
  T* data() const { return data_; }

  std::span<T> operator[](Index row) const {
    return {data_ + row * columns_, static_cast<std::size_t>(columns_)};
  }
  T& operator()(Index row, Index column) const { return data_[row * columns_ + column]; }
  std::span<T> all() const { return {data_, static_cast<std::size_t>(rows_ * columns_)}; }

 private:
  T* data_;
  Index rows_, columns_;
};

}  // namespace eplb
