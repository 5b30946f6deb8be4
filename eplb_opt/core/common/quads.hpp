// Four numbers of 64 bits as one vector; compilers split it where vectors are shorter.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/inline.hpp"

namespace eplb {

typedef double Quad __attribute__((vector_size(32)));
typedef std::uint64_t QuadBits __attribute__((vector_size(32)));
typedef float QuadFloats __attribute__((vector_size(32)));  // in the lower halves of 64 bits

EPLB_INLINE void load(Quad& quad, const double* from) { std::memcpy(&quad, from, sizeof(Quad)); }

// In this form it is one instruction.
EPLB_INLINE void lower(Quad& least, const Quad& other) { least = least < other ? least : other; }

// The least of each of four quads.
EPLB_INLINE void least_of_each(const Quad (&quads)[4], Quad& least) {
  Quad left = __builtin_shufflevector(quads[0], quads[1], 0, 4, 2, 6);
  Quad right = __builtin_shufflevector(quads[2], quads[3], 0, 4, 2, 6);
  lower(left, __builtin_shufflevector(quads[0], quads[1], 1, 5, 3, 7));
  lower(right, __builtin_shufflevector(quads[2], quads[3], 1, 5, 3, 7));
  least = __builtin_shufflevector(left, right, 0, 1, 4, 5);
  lower(least, __builtin_shufflevector(left, right, 2, 3, 6, 7));
}

}  // namespace eplb
