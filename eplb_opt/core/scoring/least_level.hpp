// The exact optimum of dispatch: how level a placement can be when tokens may be split freely.
#pragma once

#include <vector>

#include "common/views.hpp"

namespace eplb::scoring {

// The set of GPUs that proves the level: the experts that stand on them alone, `tokens` in all, can
// go nowhere else, so nothing is below tokens over the set's rates; and a flow shows that this can
// be had. `is_known` is false where the integers would not fit; nothing is said then.
struct Tight {
  bool is_known;
  std::int64_t tokens;
};

// The least largest GPU load over rate of one layer.
//
// `placed` has equally many slots a GPU, -1 for an empty one; every expert with load stands
// somewhere. `rate` is what each GPU's load is divided by, above 0. `is_tight` is written.
//
// Newton's method on the level (Radzik, "Fractional combinatorial optimization", 1998): below the
// optimum a maximum flow leaves tokens over, and its minimum cut is a set whose ratio is larger; the
// level rises to that ratio until everything flows. Flows are counted in units of one over the sum
// of the set's rates, in integers of 128 bits. Nothing here is shared with the search.
Tight least_level(std::span<const std::int64_t> load, std::span<const std::int64_t> placed,
                  std::span<const std::int64_t> rate, std::span<bool> is_tight);

}  // namespace eplb::scoring
