// Pseudo-random numbers whose sequence is the same everywhere.
#pragma once

#include <cstdint>

namespace eplb {

// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled",
// 2016), of which 30 bits are used.
class Random {
 public:
  static constexpr std::int64_t kBits = 30;

  explicit Random(std::int64_t state) : state_(static_cast<std::uint64_t>(state)) {}

  std::int64_t bits() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::int64_t>((state_ * 2685821657736338717U) >> 33 & 0x3FFFFFFFU);
  }

  // An integer in 0 .. below - 1, by division.
  std::int64_t draw(std::int64_t below) { return bits() % below; }

  // An integer in 0 .. below - 1, by multiplication; `below` at most 2**33.
  std::int64_t scaled(std::int64_t below) { return (bits() * below) >> kBits; }

  std::int64_t state() const { return static_cast<std::int64_t>(state_); }

 private:
  std::uint64_t state_;
};

}  // namespace eplb
