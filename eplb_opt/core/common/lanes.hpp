// Several float64 side by side, so that one instruction serves them all.
//
// Every lane is computed as a number by itself would be: which instructions the compiler finds for
// it changes the time and never the bytes.
#pragma once

#include <vector>

#include "common/inline.hpp"
#include "common/views.hpp"

#if defined(__x86_64__) && !defined(EPLB_ONE_PATH)
#include <cpuid.h>
#define EPLB_HAS_AVX2_PATH 1
#endif

namespace eplb {

inline constexpr Index kLanes = 4;
inline constexpr std::size_t kLanesSize = kLanes * sizeof(double);
using Lanes [[gnu::vector_size(kLanesSize), gnu::aligned(kLanesSize)]] = double;

EPLB_INLINE Lanes all_lanes(double value) { return Lanes{value, value, value, value}; }

// Each to the power of 2**doublings.
EPLB_INLINE Lanes power(Lanes value, int doublings) {
  for (; doublings > 0; --doublings) value *= value;
  return value;
}

// A float64 table whose rows are padded to whole lanes; what is in the padding stays zero.
class LaneTable {
 public:
  LaneTable(Index rows, Index columns)
      : rows_(rows),
        columns_(columns),
        width_((columns + kLanes - 1) / kLanes),
        blocks_(rows * width_) {}

  Index rows() const { return rows_; }
  Index columns() const { return columns_; }
  Index width() const { return width_; }  // lanes of a row

  Lanes* operator[](Index row) {
    return reinterpret_cast<Lanes*>(blocks_.data() + row * width_);
  }
  const Lanes* operator[](Index row) const {
    return reinterpret_cast<const Lanes*>(blocks_.data() + row * width_);
  }

  double& operator()(Index row, Index column) {
    return blocks_[row * width_ + column / kLanes].lane[column % kLanes];
  }
  double operator()(Index row, Index column) const {
    return blocks_[row * width_ + column / kLanes].lane[column % kLanes];
  }

  void clear() { blocks_.assign(blocks_.size(), Block{}); }

 private:
  // A container of `Lanes` would forget how they are to be aligned.
  struct alignas(kLanesSize) Block {
    double lane[kLanes] = {};
  };

  Index rows_, columns_, width_;
  std::vector<Block> blocks_;
};

#ifdef EPLB_HAS_AVX2_PATH
// Whether the processor and the system know AVX2. The compiler's own builtin is not used: not every
// tool chain brings the table that it reads.
inline bool has_avx2() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kSavesRegisters = 1U << 27, kAvx2 = 1U << 5, kWideRegisters = 6U;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kSavesRegisters)) return false;
  unsigned low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kWideRegisters) != kWideRegisters) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & kAvx2);
}

namespace detail {
template <typename Body>
[[gnu::target("avx2"), gnu::noinline]] void run_with_avx2(Body& body) {
  body.run();
}
}  // namespace detail
#endif

// Calls `body.run()`, compiled a second time for AVX2 where there is such a path and the processor
// has it. `run` and what it calls must be EPLB_INLINE to gain from it.
template <typename Body>
void with_widest_vectors(Body& body) {
#ifdef EPLB_HAS_AVX2_PATH
  static const bool wide = has_avx2();
  if (wide) return detail::run_with_avx2(body);
#endif
  body.run();
}

}  // namespace eplb
