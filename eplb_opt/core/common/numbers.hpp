// Numbers of any type and layout, as a caller holds them.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/views.hpp"

namespace eplb {

enum class NumberType { f32, f64, i8, i16, i32, i64, u8, u16, u32, u64 };

// A table whose rows and columns lie any number of bytes apart: transposed, reversed, expanded.
struct StridedTable {
  const void* data;
  NumberType type;
  Index rows, columns;
  Index row_bytes, column_bytes;
};

template <typename T>
class StridedRow {
 public:
  StridedRow(const StridedTable& table, Index row)
      : at_(static_cast<const char*>(table.data) + row * table.row_bytes),
        step_(table.column_bytes) {}

  T operator[](Index column) const {
    T value;
    std::memcpy(&value, at_ + column * step_, sizeof(T));  // may lie at an odd address
    return value;
  }

 private:
  const char* at_;
  Index step_;
};

// Call `use` with a value of the numbers' type.
template <typename Use>
auto with_type(NumberType type, const Use& use) {
  switch (type) {
    case NumberType::f32: return use(float{});
    case NumberType::f64: return use(double{});
    case NumberType::i8: return use(std::int8_t{});
    case NumberType::i16: return use(std::int16_t{});
    case NumberType::i32: return use(std::int32_t{});
    case NumberType::i64: return use(std::int64_t{});
    case NumberType::u8: return use(std::uint8_t{});
    case NumberType::u16: return use(std::uint16_t{});
    case NumberType::u32: return use(std::uint32_t{});
    default: return use(std::uint64_t{});
  }
}

}  // namespace eplb
