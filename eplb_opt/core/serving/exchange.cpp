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

  EPLB_INLINE Octet size(const Places& places) const {
    Octet first, second;
    load(first, twice + places.first);
    load(second, twice + places.second);
    return first + second;
  }

  EPLB_INLINE void look(const Places& places, Octet& risen, Octet& fallen) const {
    const Octet apart = size(places) + below;
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

// Whether any of kRows rows has an exchange below the ceiling: half the work, for most have none.
//
// For each GPU it is below where what is given less what is taken lies in an open interval. Less the
// interval's lower end and 1, without a sign, it is least for the first number in the interval.
struct HasBelow {
  const NarrowPlan& narrow;
  std::span<const Places> choices;
  const std::uint32_t* given;
  std::uint32_t ceiling;
  bool is_any = false;

  EPLB_INLINE void run() {
    Octet rows[kRows], found = {};
    for (Index i = 0; i < kRows; ++i) fill(rows[i], given[i]);
    for (Index gpu = 0; gpu < narrow.width; gpu += kOctet) {
      const Column column(narrow, gpu);
      const Octet start = column.both + column.below - ceiling + 1;
      const Octet length = 2 * (ceiling - column.both) - 1;
      Octet a = ~Octet{}, b = a, c = a, d = a;
      for (const Places& places : choices) {
        const Octet taken = column.size(places) + start;
        lower_unsigned(a, rows[0] - taken);
        lower_unsigned(b, rows[1] - taken);
        lower_unsigned(c, rows[2] - taken);
        lower_unsigned(d, rows[3] - taken);
      }
      lower_unsigned(a, b), lower_unsigned(c, d), lower_unsigned(a, c);
      // The GPUs whose load is at the ceiling, and far ones, have no interval.
      const SignedOctet has = cast<SignedOctet>(length) > 0;
      found |= cast<Octet>(a < length) & cast<Octet>(has);
    }
    is_any = eplb::is_any(found);
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
        found |= cast<Octet>(values(row) == wanted);
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

// Places as rows of a narrow plan.
std::vector<Places> in_rows(std::vector<Places> all, Index width) {
  for (Places& places : all) places.first *= width, places.second *= width;
  return all;
}

std::vector<Places> single_places(Index num_places) {
  std::vector<Places> all;
  for (Index place = 0; place < num_places; ++place) all.push_back({place, num_places});
  return all;
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
      twice((shape.slots_per_gpu() + 1) * width),
      below(width),
      both(width, kFar) {}

void NarrowPlan::take(const Plan& plan, int dropped) {
  heavy = plan.heaviest();
  Narrowing narrowing{plan, *this, dropped};
  with_widest_vectors(narrowing);
  both[heavy] = kFar;
}

Exchange::Exchange(const NodeShape& shape)
    : narrow_(shape),
      singles_(in_rows(single_places(shape.slots_per_gpu()), narrow_.width)),
      pairs_(in_rows(pairs_of_places(shape), narrow_.width)) {}

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
      given[i] = twice[places.first] + twice[places.second];
    }
    if (first > 0 && row < 0) {
      HasBelow below{narrow_, choices, given, static_cast<std::uint32_t>(limits.ceiling)};
      with_widest_vectors(below);
      if (!below.is_any) continue;
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
  const Index width = narrow_.width, num_gpus = plan.num_gpus();
  const auto slot = [&](Index row, Index on) { return row / width * num_gpus + on; };
  const Places mine = choices[given], theirs = choices[taken];
  const Index a = slot(mine.first, narrow_.heavy), c = slot(theirs.first, gpu);
  const Index b = slot(mine.second, narrow_.heavy), d = slot(theirs.second, gpu);
  const bool is_pair = b < plan.num_slots();  // else both are the empty place
  std::int64_t moved = plan.size[a] - plan.size[c];
  if (is_pair) moved += plan.size[b] - plan.size[d];
  if (moved <= 0 || plan.load[gpu] + moved >= plan.load[narrow_.heavy]) return false;
  plan.swap(a, c);
  if (is_pair) plan.swap(b, d);
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
