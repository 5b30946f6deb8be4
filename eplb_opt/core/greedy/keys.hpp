// A load and an index in one number; ascending order is by load, and then by index.
#pragma once

#include <bit>
#include <cstdint>

#include "common/views.hpp"

namespace eplb::greedy {

// Bits of a float32 that is not negative; they order as the number does.
inline std::uint32_t bits_of(float load) { return std::bit_cast<std::uint32_t>(load) & 0x7FFFFFFFU; }
inline float load_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

// A load in the upper 31 bits of 62 and an index below. An offset makes all keys normal positive
// doubles, which order like their bits: every CPU has the lesser and the larger of two doubles as
// one vector instruction, few have it of 64-bit integers.
namespace keys {

constexpr int kIndexBits = 31;
constexpr std::uint64_t kIndexMask = (1ULL << kIndexBits) - 1;
constexpr std::uint64_t kOffset = 1ULL << 52;
constexpr std::uint64_t kHighest = 0x7FEFFFFFFFFFFFFFULL;  // above every key
constexpr std::uint64_t kLowest = kOffset - 1;             // below every key

inline double sortable(std::uint64_t key) { return std::bit_cast<double>(key); }
inline std::uint64_t key_of(double sorted) { return std::bit_cast<std::uint64_t>(sorted); }

inline std::uint64_t lightest_first(std::uint32_t bits, Index index) {
  return kOffset +
         (static_cast<std::uint64_t>(bits) << kIndexBits | static_cast<std::uint64_t>(index));
}
inline std::uint64_t heaviest_first(std::uint32_t bits, Index index) {
  return lightest_first(0x7FFFFFFFU - bits, index);
}
inline Index index_of(std::uint64_t key) { return static_cast<Index>(key & kIndexMask); }
inline std::uint32_t light_bits(std::uint64_t key) {
  return static_cast<std::uint32_t>((key - kOffset) >> kIndexBits);
}
inline std::uint32_t heavy_bits(std::uint64_t key) { return 0x7FFFFFFFU - light_bits(key); }

}  // namespace keys

}  // namespace eplb::greedy
