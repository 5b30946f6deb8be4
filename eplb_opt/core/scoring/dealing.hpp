// Who is dealt the odd senders of an expert: the draws of Python's `random`, number by number.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/views.hpp"

namespace eplb::scoring {

// The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), from the state that Python's
// `random.Random` is in: 624 words, then how many of them are used up.
class Twister {
 public:
  static constexpr std::size_t kWords = 624;

  explicit Twister(std::span<const std::uint32_t> state);

  // A number in 0..n-1 for n >= 1, as `random.Random` draws it: bits enough for n, and again until
  // they are below it.
  std::uint32_t below(std::uint32_t n);

 private:
  std::uint32_t next();
  void refill();

  std::array<std::uint32_t, kWords> words_;
  std::size_t used_;
};

// The experts of which some senders are left, one after the other; the spans are equally long.
struct Deal {
  std::span<const std::int64_t> left;   // senders that are left, above 0
  std::span<const std::int64_t> odd;    // of them, those beyond equally many for each replica
  std::span<const std::int64_t> count;  // replicas, more than `odd`
  std::span<const std::int64_t> start;  // the first replica's place in what is written
};

// Write 1 for each replica that gets an odd sender; the others keep what they have.
//
// An expert takes from the sequence what `random.sample(range(count), odd)` and then
// `random.shuffle` of a list of `left` take.
void deal(Twister& draws, const Deal& experts, std::span<std::int64_t> extra);

}  // namespace eplb::scoring
