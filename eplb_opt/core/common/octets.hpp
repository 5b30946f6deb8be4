// Eight integers of 32 bits as one vector; compilers split it where vectors are shorter.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "common/inline.hpp"
#include "common/views.hpp"

namespace eplb {

inline constexpr Index kOctet = 8;
typedef std::uint32_t Octet __attribute__((vector_size(32)));  // sums wrap around
typedef std::int32_t SignedOctet __attribute__((vector_size(32)));

EPLB_INLINE void load(Octet& octet, const std::uint32_t* from) {
  std::memcpy(&octet, from, sizeof(Octet));
}

EPLB_INLINE void fill(Octet& octet, std::uint32_t value) { octet = Octet{} + value; }

// The same bits as signed or unsigned numbers. A function of the standard library would not have been
// compiled for the same vectors, and unoptimised calls of it pass them in another way.
template <typename To, typename From>
EPLB_INLINE To cast(const From& from) {
  return __builtin_bit_cast(To, from);
}

// Compared as signed numbers; in this form each is one instruction.
EPLB_INLINE void lower(Octet& least, const Octet& other) {
  const SignedOctet a = cast<SignedOctet>(least), b = cast<SignedOctet>(other);
  least = cast<Octet>(a < b ? a : b);
}
EPLB_INLINE void raise(Octet& most, const Octet& other) {
  const SignedOctet a = cast<SignedOctet>(most), b = cast<SignedOctet>(other);
  most = cast<Octet>(a > b ? a : b);
}

EPLB_INLINE void load(SignedOctet& octet, const std::int32_t* from) {
  std::memcpy(&octet, from, sizeof(SignedOctet));
}
EPLB_INLINE void store(const SignedOctet& octet, std::int32_t* to) {
  std::memcpy(to, &octet, sizeof(SignedOctet));
}
EPLB_INLINE void lower(SignedOctet& least, const SignedOctet& other) {
  least = least < other ? least : other;
}
EPLB_INLINE void raise(SignedOctet& most, const SignedOctet& other) {
  most = most > other ? most : other;
}

// Compared without a sign.
EPLB_INLINE void lower_unsigned(Octet& least, const Octet& other) {
  least = least < other ? least : other;
}

EPLB_INLINE std::int32_t least_of(const Octet& octet) {
  std::int32_t all[kOctet];
  std::memcpy(all, &octet, sizeof(Octet));
  std::int32_t least = all[0];
  for (const std::int32_t one : all) least = std::min(least, one);
  return least;
}

EPLB_INLINE std::int32_t least_of(const SignedOctet& octet) {
  return least_of(cast<Octet>(octet));
}
EPLB_INLINE std::int32_t most_of(const SignedOctet& octet) { return -least_of(-octet); }

EPLB_INLINE bool is_any(const Octet& octet) {
  std::uint64_t halves[kOctet / 2];
  std::memcpy(halves, &octet, sizeof(Octet));
  return (halves[0] | halves[1] | halves[2] | halves[3]) != 0;
}

}  // namespace eplb
