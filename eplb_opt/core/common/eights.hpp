// Eight float32 as one vector; compilers split it where vectors are shorter.
//
// Every number is computed as it would be by itself, so the width of vectors changes no byte.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/inline.hpp"
#include "common/views.hpp"

namespace eplb {

inline constexpr Index kEight = 8;
typedef float Eight __attribute__((vector_size(32)));
typedef std::int32_t EightInts __attribute__((vector_size(32)));  // 0, or -1 where something holds

EPLB_INLINE void load(Eight& eight, const float* from) { std::memcpy(&eight, from, sizeof(Eight)); }
EPLB_INLINE void load(EightInts& eight, const std::int32_t* from) {
  std::memcpy(&eight, from, sizeof(EightInts));
}

// In this form each is one instruction.
EPLB_INLINE void lower(Eight& least, const Eight& other) { least = least < other ? least : other; }
EPLB_INLINE void raise(Eight& most, const Eight& other) { most = most > other ? most : other; }

EPLB_INLINE float most_of(const Eight& eight) {
  float most = eight[0];
  for (Index i = 1; i < kEight; ++i) most = most > eight[i] ? most : eight[i];
  return most;
}

EPLB_INLINE bool is_any(const EightInts& eight) {
  std::uint64_t halves[4];
  std::memcpy(halves, &eight, sizeof(EightInts));
  return (halves[0] | halves[1] | halves[2] | halves[3]) != 0;
}

}  // namespace eplb
