// Slots that get other experts, all at once, and what that is worth.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "common/views.hpp"

namespace eplb::near {

// What a unit of load above the level is worth, by the price of taking it away; in 2**20ths. The
// price counts by its power of three quarters: what mends several GPUs at once leaves more room
// than its price alone says.
inline std::int64_t worth_of_price(Index price) {
  constexpr std::int64_t kUnit = std::int64_t{1} << 20;
  // Nothing is better than what costs nothing.
  constexpr std::array<std::int64_t, 7> kWorths = {kUnit << 10, kUnit,  645474,  485989,
                                                   370727,      313603, 273525};
  if (price < 0) return kWorths[0];
  if (price < std::ssize(kWorths)) return kWorths[price];
  const double root = std::sqrt(static_cast<double>(price));
  return static_cast<std::int64_t>(static_cast<double>(kUnit) / (root * std::sqrt(root)));
}

struct Change {
  Index slot;
  std::int32_t expert;
};

struct Action {
  static constexpr int kMost = 4;

  std::array<Change, kMost> changes{};
  int num = 0;
  std::int64_t score = 0;  // above 0 where the action is of use
  std::int32_t unused = 0;  // room that is left on the GPU that takes the load; little is best

  void add(Index slot, std::int32_t expert) { changes[num++] = {slot, expert}; }
  bool is_better_than(const Action& other) const {
    return score > other.score || (score == other.score && unused < other.unused);
  }
};

}  // namespace eplb::near
