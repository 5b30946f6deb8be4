// Exchanges of the heaviest GPU with another: one replica for one, two for two.
#pragma once

#include <vector>

#include "common/views.hpp"
#include "serving/plan.hpp"

namespace eplb::serving {

// Places of a GPU that are taken together; the second is an empty one where one is taken alone.
struct Places {
  Index first, second;
};

// All pairs of places, or evenly chosen ones where a step would look at too many exchanges. With
// three slots a GPU an exchange of two is one of one under other names.
std::vector<Places> pairs_of_places(const NodeShape& shape);

// Bits that 32-bit integers drop of loads up to `peak`.
int dropped_bits(std::int64_t peak);

// A plan's numbers in 32 bits. Rows have a column for every GPU and are padded to whole vectors.
struct NarrowPlan {
  explicit NarrowPlan(const NodeShape& shape);

  void take(const Plan& plan, int dropped);

  Index width;                        // of a row
  Index heavy = 0;                    // the heaviest GPU
  std::vector<std::uint32_t> twice;   // twice the sizes of all slots, place after place; then zeros
  std::vector<std::uint32_t> below;   // what every GPU's load is below the heaviest one's,
  std::vector<std::uint32_t> both;    // and the two together
};

// Looks for the exchange that leaves the lower larger load of the two GPUs, in 32-bit integers,
// twice as many a vector as of 64; then checks it in 64. The memory serves one plan after the other.
class Exchange {
 public:
  explicit Exchange(const NodeShape& shape);

  // Do the best exchange of one replica of the heaviest GPU, if one lowers its load; whether it did.
  // At the load `target` nothing is left to gain.
  bool one_for_one(const Plan& plan, std::int64_t target, int dropped);

  // Do a good exchange of two for two, right after `one_for_one` has found nothing.
  bool two_for_two(const Plan& plan, std::int64_t target, int dropped);

 private:
  // In 32 bits: twice the load that an exchange has to stay below, and one that is good enough.
  struct Limits {
    std::int32_t ceiling, enough;
  };
  struct Found {
    Index given, taken, gpu;  // indices of places, those of the first -1 where none lowers the load
  };

  Limits limits(const Plan& plan, std::int64_t target, int dropped) const;
  Found closest(std::span<const Places> choices, const Limits& limits) const;
  bool exchange(const Plan& plan, std::span<const Places> choices, const Limits& limits) const;

  NarrowPlan narrow_;
  std::vector<Places> singles_, pairs_;  // by where their rows begin in the narrow plan
};

}  // namespace eplb::serving
