#include "serving/exchange.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "common/lanes.hpp"
#include "common/octets.hpp"

namespace eplb::serving {

namespace {

// Above twice any GPU load in 32 bits, and no sum with it overflows.
constexpr std::uint32_t kFar = 1U << 30;
// Bits of the largest GPU load in 32-bit integers, one less than sums of five need: a kick may
// double a load. What overflows all the same chooses a bad exchange, which is then refused.
constexpr int kDigits = 27;
// Exchanges of two for two that one step may look at.
constexpr Index kMostExchanges = 100'000;
// So many rows of what is given are looked at at once.
constexpr Index kRows = 4;

// Fills a narrow plan from a plan.
struct Narrowing {
  const Plan& plan;
  NarrowPlan& narrow;
  int dropped;

  EPLB_INLINE void run() const {
    const Index num_gpus = plan.num_gpus(), num_places = plan.slots_per_gpu();
    const std::int64_t *size = plan.size.data(), *load = plan.load.data();
    const std::int64_t peak = load[narrow.heavy];
    for (Index k = 0; k < num_places; ++k, size += num_gpus) {
      std::uint32_t* twice = narrow.twice.data() + k * narrow.width;
      for (Index gpu = 0; gpu < num_gpus; ++gpu) {
        twice[gpu] = shifted(size[gpu], dropped - 1);  // half of it, twice
      }
    }
    std::uint32_t *below = narrow.below.data(), *both = narrow.both.data();
    for (Index gpu = 0; gpu < num_gpus; ++gpu) {
      below[gpu] = shifted(peak - load[gpu], dropped);
      both[gpu] = shifted(peak + load[gpu], dropped);
    }
  }

  // Of a number that is not negative; an unsigned shift is one instruction for a whole vector.
  EPLB_INLINE static std::uint32_t shifted(std::int64_t number, int bits) {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(number) >> bits);
  }
};

EPLB_INLINE Octet larger(const Octet& risen, const Octet& fallen, const Octet& given) {
  Octet most = risen - given;
  raise(most, fallen + given);
  return most;
}

// The exchanges with eight neighbouring GPUs.
//
// Twice the larger load of the two GPUs after an exchange is the larger of twice the other GPU's and
// twice the heaviest one's: `risen - given` and `fallen + given`.
struct Column {
  const NarrowPlan& narrow;
  const std::uint32_t* twice;
  Octet below, both;

  EPLB_INLINE Column(const NarrowPlan& plan, Index gpu)
      : narrow(plan), twice(plan.twice.data() + gpu) {
    load(below, plan.below.data() + gpu);
    load(both, plan.both.data() + gpu);
  }

  EPLB_INLINE void look(const Places& places, Octet& risen, Octet& fallen) const {
    Octet first, second;
    load(first, twice + places.first * narrow.width);
    load(second, twice + places.second * narrow.width);
    const Octet apart = first + second + below;
    risen = both + apart;
    fallen = both - apart;
  }
};

// The least of twice the larger load, of kRows rows of what is given.
struct LeastOfRows {
  const NarrowPlan& narrow;
  std::span<const Places> choices;
  const std::uint32_t* given;
  std::int32_t ceiling;  // what is not below it is of no use
  std::int32_t* least;

  EPLB_INLINE void run() const {
    Octet rows[kRows], a, b, c, d;  // by name, so that they stay in registers
    for (Index i = 0; i < kRows; ++i) fill(rows[i], given[i]);
    fill(a, static_cast<std::uint32_t>(ceiling));
    b = c = d = a;
    for (Index gpu = 0; gpu < narrow.width; gpu += kOctet) {
      const Column column(narrow, gpu);
      for (const Places& places : choices) {
        Octet risen, fallen;
        column.look(places, risen, fallen);
        lower(a, larger(risen, fallen, rows[0]));
        lower(b, larger(risen, fallen, rows[1]));
        lower(c, larger(risen, fallen, rows[2]));
        lower(d, larger(risen, fallen, rows[3]));
      }
    }
    least[0] = least_of(a), least[1] = least_of(b), least[2] = least_of(c), least[3] = least_of(d);
  }
};

// The first candidate with a value; there is one.
struct Lookup {
  const NarrowPlan& narrow;
  std::span<const Places> choices;
  std::uint32_t given;
  std::int32_t value;
  Index taken = 0, gpu = 0;

  EPLB_INLINE void run() {
    Octet row, wanted;
    fill(row, given);
    fill(wanted, static_cast<std::uint32_t>(value));
    for (taken = 0; taken + 1 < std::ssize(choices); ++taken) {
      Octet found = row - row;
      for (gpu = 0; gpu < narrow.width; gpu += kOctet) {
        found |= std::bit_cast<Octet>(values(row) == wanted);
      }
      if (is_any(found)) break;
    }
    for (gpu = 0; gpu < narrow.width; gpu += kOctet) {
      const Octet all = values(row);
      for (Index i = 0; i < kOctet; ++i) {
        if (all[i] != wanted[i]) continue;
        gpu += i;
        return;
      }
    }
  }

  EPLB_INLINE Octet values(const Octet& row) const {
    Octet risen, fallen;
    Column(narrow, gpu).look(choices[taken], risen, fallen);
    return larger(risen, fallen, row);
  }
};

std::int64_t sum_of(const Plan& plan, const Places& places, Index gpu) {
  std::int64_t sum = 0;
  for (const Index place : {places.first, places.second}) {
    if (place < plan.slots_per_gpu()) sum += plan.size[place * plan.num_gpus() + gpu];
  }
  return sum;
}

}  // namespace

std::vector<Places> pairs_of_places(const NodeShape& shape) {
  std::vector<Places> all, chosen;
  if (shape.slots_per_gpu() <= 3) return all;
  for (Index a = 0; a < shape.slots_per_gpu(); ++a) {
    for (Index b = a + 1; b < shape.slots_per_gpu(); ++b) all.push_back({a, b});
  }
  const double share = static_cast<double>(kMostExchanges) / static_cast<double>(shape.num_gpus);
  const Index found = std::ssize(all), most = std::max<Index>(static_cast<Index>(std::sqrt(share)), 1);
  if (found <= most) return all;
  for (Index i = 0; i < most; ++i) chosen.push_back(all[i * found / most]);
  return chosen;
}

int dropped_bits(std::int64_t peak) {
  int dropped = 1;
  while (peak >> dropped >= std::int64_t{1} << kDigits) ++dropped;
  return dropped;
}

NarrowPlan::NarrowPlan(const NodeShape& shape)
    : width((shape.num_gpus + kOctet - 1) / kOctet * kOctet),
      empty(shape.slots_per_gpu()),
      twice((empty + 1) * width),
      below(width),
      both(width, kFar) {}

void NarrowPlan::take(const Plan& plan, int dropped) {
  heavy = plan.heaviest();
  Narrowing narrowing{plan, *this, dropped};
  with_widest_vectors(narrowing);
  both[heavy] = kFar;
}

Exchange::Exchange(const NodeShape& shape) : narrow_(shape), pairs_(pairs_of_places(shape)) {
  for (Index k = 0; k < narrow_.empty; ++k) singles_.push_back({k, narrow_.empty});
}

Exchange::Limits Exchange::limits(const Plan& plan, std::int64_t target, int dropped) const {
  const std::int64_t peak = plan.load[narrow_.heavy];
  return {static_cast<std::int32_t>(2 * (peak >> dropped)),
          static_cast<std::int32_t>((peak + target) >> dropped)};
}

// Ties do not depend on the width of vectors: which candidate it was is looked up afterwards.
Exchange::Found Exchange::closest(std::span<const Places> choices, const Limits& limits) const {
  const Index num_given = std::ssize(choices);
  const std::uint32_t* twice = narrow_.twice.data() + narrow_.heavy;
  std::int32_t best = limits.ceiling;
  std::uint32_t best_given = 0;
  Index row = -1;
  for (Index first = 0; first < num_given && (row < 0 || best > limits.enough); first += kRows) {
    std::int32_t least[kRows];
    std::uint32_t given[kRows] = {};
    const Index num_rows = std::min(kRows, num_given - first);
    for (Index i = 0; i < num_rows; ++i) {
      const Places& places = choices[first + i];
      given[i] = twice[places.first * narrow_.width] + twice[places.second * narrow_.width];
    }
    LeastOfRows rows{narrow_, choices, given, limits.ceiling, least};
    with_widest_vectors(rows);
    for (Index i = 0; i < num_rows; ++i) {
      if (least[i] >= best) continue;
      best = least[i], best_given = given[i], row = first + i;
      if (best <= limits.enough) break;
    }
  }
  if (row < 0) return {-1, -1, -1};
  Lookup lookup{narrow_, choices, best_given, best};
  with_widest_vectors(lookup);
  return {row, lookup.taken, lookup.gpu};
}

bool Exchange::exchange(const Plan& plan, std::span<const Places> choices,
                        const Limits& limits) const {
  const auto [given, taken, gpu] = closest(choices, limits);
  if (given < 0) return false;
  const Places mine = choices[given], theirs = choices[taken];
  const Index heavy = narrow_.heavy, num_gpus = plan.num_gpus();
  const std::int64_t moved = sum_of(plan, mine, heavy) - sum_of(plan, theirs, gpu);
  if (moved <= 0 || plan.load[gpu] + moved >= plan.load[heavy]) return false;
  plan.swap(mine.first * num_gpus + heavy, theirs.first * num_gpus + gpu);
  if (mine.second < narrow_.empty) {
    plan.swap(mine.second * num_gpus + heavy, theirs.second * num_gpus + gpu);
  }
  return true;
}

bool Exchange::one_for_one(const Plan& plan, std::int64_t target, int dropped) {
  narrow_.take(plan, dropped);
  return exchange(plan, singles_, limits(plan, target, dropped));
}

bool Exchange::two_for_two(const Plan& plan, std::int64_t target, int dropped) {
  return exchange(plan, pairs_, limits(plan, target, dropped));
}

}  // namespace eplb::serving
