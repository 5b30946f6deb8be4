#include "serving/priced_descent.hpp"

#include <numeric>

#include "common/lanes.hpp"
#include "common/quads.hpp"

namespace eplb::serving {

namespace {

// GPUs above the mean by one part in so many have to come down.
constexpr std::int64_t kNear = 128;
// The lightest experts that a spared slot is offered to.
constexpr std::size_t kFillers = 3;
// The largest replicas of the heaviest GPU whose experts may get a further one.
constexpr std::size_t kTakers = 3;
// A size with which nothing is exchanged.
constexpr double kHuge = 1e300;
constexpr Index kQuad = Grid::kVector;

}  // namespace

PricedDescent::PricedDescent(const Locality& locality, const Grid& grid,
                             std::span<const std::int64_t> weight,
                             std::span<const std::int64_t> homes,
                             std::span<const std::int64_t> placed)
    : locality_(locality),
      grid_(grid),
      weight_(weight),
      home_(weight.size()),
      count_(weight.size()),
      at_home_(weight.size()),
      expert_(placed.begin(), placed.end()),
      size_(weight.size()),
      load_(locality.num_gpus),
      peaks_(weight.size()),
      wide_size_(grid.width, kHuge),
      wide_gap_(grid.width),
      wide_traffic_(grid.width) {
  for (Index slot = 0; slot < std::ssize(expert_); ++slot) {
    const std::int64_t expert = expert_[slot];
    home_[expert] = homes[grid.group[expert]];
    ++count_[expert];
    at_home_[expert] += is_home(expert, slot);
  }
  for (Index expert = 0; expert < std::ssize(weight); ++expert) {
    size_[expert] = count_[expert] > 1 ? weight[expert] / count_[expert] : weight[expert];
    away_ += size_[expert] * (count_[expert] - at_home_[expert]);
  }
  for (Index slot = 0; slot < std::ssize(expert_); ++slot) {
    load_[gpu_of(slot)] += size_[expert_[slot]];
    wide_size_[slot] = static_cast<double>(size_[expert_[slot]]);
  }
  const std::int64_t total = std::accumulate(load_.begin(), load_.end(), std::int64_t{0});
  level_ = total / locality.num_gpus;
  level_ += level_ / kNear;
}

bool PricedDescent::step() {
  const Index heavy = heaviest();
  const auto above = static_cast<double>(num_above_level());
  const double price = locality_.price * above / static_cast<double>(locality_.num_gpus);
  find_peaks();
  Step transfer, exchange;
  look_at_copies(heavy, price, transfer);
  look_at_fillers(heavy, price, transfer);
  look_at_swaps(heavy, price, exchange);
  if (transfer.worth > exchange.worth && try_transfer(transfer)) return true;
  if (exchange.slot < 0) return false;
  swap(exchange.slot, exchange.other);
  return true;
}

Index PricedDescent::heaviest() const {
  return std::ranges::max_element(load_) - load_.begin();
}

Index PricedDescent::num_above_level() const {
  return std::max<Index>(std::ranges::count_if(load_, [&](auto load) { return load > level_; }), 1);
}

// The worth of exchanging one place of the heaviest GPU with all others.
struct PricedDescent::Swaps {
  const double *size, *gap, *traffic, *is_far;
  Index width;
  double mine, price, come;  // size of the place's replica; of its traffic; less if it comes home
  double best = 0.0;
  Index other = -1;

  EPLB_INLINE Quad worth(Index q) const {
    Quad theirs, below, paid, far;
    load(theirs, size + q), load(below, gap + q), load(paid, traffic + q), load(far, is_far + q);
    Quad least = mine - theirs;  // what the heaviest GPU gives
    lower(least, below - least);
    return least - paid - price * (far - come);
  }

  EPLB_INLINE void run() {
    Quad most = {best, best, best, best};
    for (Index q = 0; q < width; q += kQuad) {
      const Quad value = worth(q);
      most = most > value ? most : value;
    }
    double highest = best;
    for (Index i = 0; i < kQuad; ++i) highest = std::max(highest, most[i]);
    if (highest <= best) return;
    best = highest;
    for (Index q = 0; q < width; q += kQuad) {
      const Quad value = worth(q);
      for (Index i = 0; i < kQuad; ++i) {
        if (value[i] != highest) continue;
        other = q + i;
        return;
      }
    }
  }
};

void PricedDescent::look_at_swaps(Index heavy, double price, Step& best) {
  const Index slots_per_gpu = locality_.slots_per_gpu(), first = heavy * slots_per_gpu;
  const Index mine = node_of(first);
  for (Index q = 0; q < std::ssize(expert_); ++q) {
    wide_gap_[q] = static_cast<double>(load_[heavy] - load_[gpu_of(q)]);
    const Index back = is_home(expert_[q], q) - (home_[expert_[q]] == mine);
    wide_traffic_[q] = price * static_cast<double>(back) * wide_size_[q];
  }
  for (Index p = first; p < first + slots_per_gpu; ++p) {
    const Index home = home_[expert_[p]];
    // What leaves its home pays on every other node; what is away is paid back at home.
    Swaps swaps{wide_size_.data(),
                wide_gap_.data(),
                wide_traffic_.data(),
                grid_.is_far.data() + home * grid_.width,
                grid_.width,
                wide_size_[p],
                price * wide_size_[p],
                home == mine ? 0.0 : 1.0,
                best.worth};
    with_widest_vectors(swaps);
    if (swaps.other >= 0) best = {swaps.best, p, swaps.other, -1};
  }
}

// A further replica of an expert of the heaviest GPU, in the slot of one that can spare it.
void PricedDescent::look_at_copies(Index heavy, double price, Step& best) const {
  const Index slots_per_gpu = locality_.slots_per_gpu(), first = heavy * slots_per_gpu;
  const std::int64_t peak = load_[heavy];
  struct Taker {
    std::int64_t expert, then, away, away_at_home;
  };
  Taker takers[kTakers];
  std::size_t num_takers = 0;
  for (Index p = first; p < first + slots_per_gpu; ++p) {
    const std::int64_t expert = expert_[p];
    std::size_t at = num_takers;
    while (at > 0 && size_[expert] > size_[takers[at - 1].expert]) --at;
    if (at == kTakers || (at > 0 && takers[at - 1].expert == expert)) continue;
    num_takers = std::min(num_takers + 1, kTakers);
    for (std::size_t i = num_takers - 1; i > at; --i) takers[i] = takers[i - 1];
    takers[at].expert = expert;
  }
  for (std::size_t i = 0; i < num_takers; ++i) {
    Taker& taker = takers[i];
    taker.then = next_size(taker.expert, 1);
    taker.away = away_with(taker.expert, 1, 0, taker.then);
    taker.away_at_home = away_with(taker.expert, 1, 1, taker.then);
  }
  for (Index q = 0; q < std::ssize(expert_); ++q) {
    const std::int64_t spare = expert_[q];
    const Index gpu = gpu_of(q);
    if (count_[spare] < 2 || gpu == heavy) continue;
    const std::int64_t grown = next_size(spare, -1), risen = peak_without(spare, q) + grown - size_[spare];
    if (risen >= peak) continue;
    const std::int64_t lost = away_with(spare, -1, -is_home(spare, q), grown);
    for (std::size_t i = 0; i < num_takers; ++i) {
      const Taker& taker = takers[i];
      if (taker.expert == spare) continue;
      const std::int64_t reached = std::max({peak - size_[taker.expert] + taker.then,
                                             load_[gpu] - size_[spare] + taker.then, risen});
      const std::int64_t added = is_home(taker.expert, q) ? taker.away_at_home : taker.away;
      const double worth =
          static_cast<double>(peak - reached) - price * static_cast<double>(lost + added);
      if (worth > best.worth) best = {worth, q, -1, taker.expert};
    }
  }
}

// A light expert in the place of a replica that the heaviest GPU can spare.
void PricedDescent::look_at_fillers(Index heavy, double price, Step& best) const {
  const Index slots_per_gpu = locality_.slots_per_gpu(), first = heavy * slots_per_gpu;
  const std::int64_t peak = load_[heavy];
  std::int64_t light[kFillers];
  std::size_t num_light = 0;
  for (std::int64_t expert = 0; expert < std::ssize(size_); ++expert) {
    std::size_t at = num_light;
    while (at > 0 && size_[expert] < size_[light[at - 1]]) --at;
    if (at == kFillers) continue;
    num_light = std::min(num_light + 1, kFillers);
    for (std::size_t i = num_light - 1; i > at; --i) light[i] = light[i - 1];
    light[at] = expert;
  }
  for (Index p = first; p < first + slots_per_gpu; ++p) {
    const std::int64_t spare = expert_[p];
    if (count_[spare] < 2) continue;
    const std::int64_t grown = next_size(spare, -1), risen = peak_without(spare, p) + grown - size_[spare];
    if (risen >= peak) continue;
    const std::int64_t lost = away_with(spare, -1, -is_home(spare, p), grown);
    for (std::size_t i = 0; i < num_light; ++i) {
      const std::int64_t taker = light[i];
      if (taker == spare) continue;
      const std::int64_t then = next_size(taker, 1), left = peak - size_[spare] + then;
      const std::int64_t added = lost + away_with(taker, 1, is_home(taker, p), then);
      const double worth =
          static_cast<double>(peak - std::max(left, risen)) - price * static_cast<double>(added);
      if (worth > best.worth) best = {worth, p, -1, taker};
    }
  }
}

void PricedDescent::find_peaks() {
  for (Index expert = 0; expert < std::ssize(peaks_); ++expert) peaks_[expert] = {};
  for (Index slot = 0; slot < std::ssize(expert_); ++slot) {
    if (count_[expert_[slot]] < 2) continue;
    Peaks& peaks = peaks_[expert_[slot]];
    const std::int64_t held = load_[gpu_of(slot)];
    if (peaks.slot < 0 || held > peaks.first) {
      peaks.second = peaks.first;
      peaks.first = held, peaks.slot = slot;
    } else {
      peaks.second = std::max(peaks.second, held);
    }
  }
}

// The largest load of the GPUs that an expert's replicas in other slots are on.
std::int64_t PricedDescent::peak_without(std::int64_t expert, Index slot) const {
  const Peaks& peaks = peaks_[expert];
  return peaks.slot == slot ? peaks.second : peaks.first;
}

// What is served away from home more with so many more replicas, of which so many are at home.
std::int64_t PricedDescent::away_with(std::int64_t expert, Index more, Index at_home,
                                      std::int64_t size) const {
  const Index count = count_[expert], now = at_home_[expert];
  return size * (count + more - now - at_home) - size_[expert] * (count - now);
}

void PricedDescent::swap(Index slot, Index other) {
  const auto move = [&](Index from, Index to) {
    const std::int64_t expert = expert_[from];
    const Index come = is_home(expert, to) - is_home(expert, from);
    at_home_[expert] += come;
    away_ -= come * size_[expert];
    load_[gpu_of(from)] -= size_[expert];
    load_[gpu_of(to)] += size_[expert];
  };
  move(slot, other);
  move(other, slot);
  std::swap(expert_[slot], expert_[other]);
  std::swap(wide_size_[slot], wide_size_[other]);
}

// Two replicas may share a GPU: what comes of a transfer is looked at once it is made.
bool PricedDescent::try_transfer(const Step& step) {
  const Index heavy = heaviest();
  const std::int64_t before = load_[heavy], spare = expert_[step.slot];
  set_slot(step.slot, step.taker);
  if (load_[heavy] < before && largest_load() <= before) return true;
  set_slot(step.slot, spare);
  return false;
}

void PricedDescent::set_slot(Index slot, std::int64_t expert) {
  const std::int64_t before = expert_[slot];
  const auto change = [&](std::int64_t changed, Index more) {
    away_ -= size_[changed] * (count_[changed] - at_home_[changed]);
    count_[changed] += more;
    at_home_[changed] += more * is_home(changed, slot);
  };
  load_[gpu_of(slot)] += size_[expert] - size_[before];
  expert_[slot] = expert;
  change(before, -1);
  change(expert, 1);
  resize(before);
  resize(expert);
}

void PricedDescent::resize(std::int64_t expert) {
  const std::int64_t fresh = weight_[expert] / count_[expert], more = fresh - size_[expert];
  for (Index q = 0; q < std::ssize(expert_); ++q) {
    if (expert_[q] != expert) continue;
    load_[gpu_of(q)] += more;
    wide_size_[q] = static_cast<double>(fresh);
  }
  size_[expert] = fresh;
  away_ += fresh * (count_[expert] - at_home_[expert]);
}

std::vector<std::int64_t> plans_on_the_way(const Locality& locality,
                                           std::span<const std::int64_t> weight,
                                           std::span<const std::int64_t> homes,
                                           std::span<const std::int64_t> placed, Index steps) {
  const Grid grid(locality);
  PricedDescent descent(locality, grid, weight, homes, placed);
  std::vector<std::int64_t> found;
  double least = descent.cost();
  for (Index i = 0; i < steps && descent.step(); ++i) {
    if (descent.cost() >= least) continue;
    least = descent.cost();
    found.insert(found.end(), descent.placed().begin(), descent.placed().end());
  }
  return found;
}

}  // namespace eplb::serving
