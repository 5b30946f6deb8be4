// Exchanges of the heaviest GPU with another: one replica for one, two for two.
#pragma once

#include <vector>

#include "common/views.hpp"
#include "serving/plan.hpp"

namespace eplb::serving {

// Slots of a GPU that are taken together, as the first slots of their places.
struct SlotPair {
  Index first, second;
};

// All pairs of places, or evenly chosen ones where a step would look at too many exchanges. With
// three slots a GPU an exchange of two is one of one under other names.
std::vector<SlotPair> pairs_of_slots(const NodeShape& shape);

// Bits that 32-bit integers drop of loads up to `peak`.
int dropped_bits(std::int64_t peak);

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
  struct Found {
    Index given, taken;  // -1 where none lowers the load
  };

  void narrow(const Plan& plan, int dropped);
  Found closest(Index num_given, Index num_taken, std::int64_t target, int dropped);

  std::vector<SlotPair> pairs_;
  Index heavy_ = 0;
  std::int64_t peak_ = 0;
  // Twice the sizes of all slots; every GPU's load below and together with the heaviest one's.
  std::vector<std::int32_t> twice_, below_, both_;
  // Of what may be given, twice its load; of what may be taken, the difference of the two GPUs'
  // loads and twice what is taken, and the sum of their loads.
  std::vector<std::int32_t> given_, apart_, together_;
};

}  // namespace eplb::serving
