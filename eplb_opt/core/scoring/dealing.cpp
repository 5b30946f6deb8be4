#include "scoring/dealing.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

namespace eplb::scoring {

namespace {

constexpr std::size_t kMiddle = 397;
constexpr std::uint32_t kUpper = 0x80000000U, kLower = 0x7fffffffU, kTwist = 0x9908b0dfU;

// Up to so many replicas `random.sample` draws from a list of them, and beyond from a set: Python
// takes what needs less memory.
std::int64_t largest_list(std::int64_t drawn) {
  std::int64_t size = 21;
  if (drawn <= 5) return size;
  std::int64_t power = 1;
  while (power < 3 * drawn) power *= 4;
  return size + power;
}

class Sample {
 public:
  void draw(Twister& draws, std::int64_t count, std::int64_t drawn, std::span<std::int64_t> extra) {
    if (count > largest_list(drawn)) {
      for (std::int64_t i = 0; i < drawn; ++i) {
        std::uint32_t place = draws.below(static_cast<std::uint32_t>(count));
        while (extra[place]) place = draws.below(static_cast<std::uint32_t>(count));
        extra[place] = 1;
      }
      return;
    }
    pool_.resize(static_cast<std::size_t>(count));
    std::iota(pool_.begin(), pool_.end(), 0);
    for (std::int64_t i = 0; i < drawn; ++i) {
      const std::int64_t size = count - i;
      const std::uint32_t place = draws.below(static_cast<std::uint32_t>(size));
      extra[pool_[place]] = 1;
      pool_[place] = pool_[size - 1];
    }
  }

 private:
  std::vector<std::uint32_t> pool_;
};

}  // namespace

Twister::Twister(std::span<const std::uint32_t> state) : used_(state[kWords]) {
  std::copy_n(state.begin(), kWords, words_.begin());
}

std::uint32_t Twister::below(std::uint32_t n) {
  const int unused = std::countl_zero(n);
  std::uint32_t drawn = next() >> unused;
  while (drawn >= n) drawn = next() >> unused;
  return drawn;
}

std::uint32_t Twister::next() {
  if (used_ >= kWords) refill();
  std::uint32_t word = words_[used_++];
  word ^= word >> 11;
  word ^= (word << 7) & 0x9d2c5680U;
  word ^= (word << 15) & 0xefc60000U;
  return word ^ (word >> 18);
}

void Twister::refill() {
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint32_t both =
        (words_[i] & kUpper) | (words_[i + 1 < kWords ? i + 1 : 0] & kLower);
    const std::uint32_t far = words_[i + kMiddle < kWords ? i + kMiddle : i + kMiddle - kWords];
    words_[i] = far ^ (both >> 1) ^ (both & 1U ? kTwist : 0U);
  }
  used_ = 0;
}

void deal(Twister& draws, const Deal& experts, std::span<std::int64_t> extra) {
  Sample sample;
  for (std::size_t i = 0; i < experts.left.size(); ++i) {
    const auto own = extra.subspan(static_cast<std::size_t>(experts.start[i]),
                                   static_cast<std::size_t>(experts.count[i]));
    sample.draw(draws, experts.count[i], experts.odd[i], own);
    for (std::int64_t size = experts.left[i]; size > 1; --size) {
      draws.below(static_cast<std::uint32_t>(size));
    }
  }
}

}  // namespace eplb::scoring
