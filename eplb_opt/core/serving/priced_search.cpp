#include "serving/priced_search.hpp"

#include <algorithm>
#include <numeric>

#include "common/lanes.hpp"
#include "serving/group_nodes.hpp"

namespace eplb::serving {

namespace {

// Of columns without a GPU, in mean GPU loads.
constexpr float kFull = 1e30F;
// What a step brings at least, in mean GPU loads: more than float32 rounds away.
constexpr float kLeast = 2e-6F;
// An exchange within the node that takes so much off the excess is made at once.
constexpr float kGood = 0.5F;
// GPUs above the mean by this part of it have to come down.
constexpr float kNear = 1.0F + 1.0F / 128;
// With less excess, experts are brought home first.
constexpr float kLevel = 2e-3F;
// The lightest experts that a spared slot is offered to, and the largest replicas of the heaviest
// GPU whose experts may get a further one.
constexpr std::size_t kFillers = 3, kTakers = 3;
// Slots of a GPU with more of which nothing is exchanged.
constexpr Index kMostPlaces = 64;

}  // namespace

Columns::Columns(const Locality& locality)
    : node_width((locality.gpus_per_node() + kEight - 1) / kEight * kEight),
      width(node_width * locality.num_nodes),
      places(locality.slots_per_gpu()),
      of_gpu(locality.num_gpus),
      node(width) {
  for (Index gpu = 0; gpu < locality.num_gpus; ++gpu) {
    const Index in_node = gpu / locality.gpus_per_node();
    of_gpu[gpu] = static_cast<std::int32_t>(in_node * node_width + gpu % locality.gpus_per_node());
  }
  for (Index column = 0; column < width; ++column) {
    node[column] = static_cast<std::int32_t>(column / node_width);
  }
}

PricedSearch::PricedSearch(const Locality& locality)
    : locality_(locality),
      columns_(locality),
      group_(Grid(locality).group),
      expert_(columns_.size(), -1),
      slot_home_(columns_.size(), -1),
      slot_size_(columns_.size()),
      home_(locality.num_experts),
      count_(locality.num_experts),
      at_home_(locality.num_experts),
      size_(locality.num_experts),
      relative_weight_(locality.num_experts),
      relative_size_(locality.num_experts),
      load_(columns_.width),
      relative_load_(columns_.width, kFull),
      home_of_group_(locality.num_groups),
      served_(locality.num_groups * locality.num_nodes),
      peaks_(locality.num_experts) {
  // Nothing is away where there is no slot.
  for (Index at = 0; at < columns_.size(); ++at) slot_home_[at] = columns_.node[columns_.column_of(at)];
}

void PricedSearch::start(std::span<const std::int64_t> weight, std::span<const Index> homes,
                         std::span<const std::int64_t> placed) {
  weight_ = weight;
  std::ranges::copy(homes, home_of_group_.begin());
  for (Index e = 0; e < locality_.num_experts; ++e) {
    home_[e] = static_cast<std::int32_t>(homes[group_[e]]);
  }
  place(placed);
  weigh(weight);
  find_served();
  cursor_ = 0;
  is_home_ = false;
  light_.clear();
  since_least_.clear();
  measure();
  least_cost_ = locality_.cost(load_[heavy_], static_cast<double>(away_));
  if (!homes_suit()) change_homes();
}

void PricedSearch::place(std::span<const std::int64_t> placed) {
  std::ranges::fill(count_, 0);
  std::ranges::fill(at_home_, 0);
  auto next = placed.begin();
  for (const std::int32_t column : columns_.of_gpu) {
    const std::int32_t node = columns_.node[column];
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      const auto held = static_cast<std::int32_t>(*next++);
      expert_[at] = held;
      slot_home_[at] = home_[held];
      ++count_[held];
      at_home_[held] += home_[held] == node;
    }
  }
}

void PricedSearch::weigh(std::span<const std::int64_t> weight) {
  std::int64_t total = 0;
  for (const std::int64_t each : weight) total += each;
  const double mean = static_cast<double>(total) / static_cast<double>(locality_.num_gpus);
  scale_ = mean > 0.0 ? 1.0 / mean : 1.0;
  away_ = 0;
  for (Index e = 0; e < locality_.num_experts; ++e) {
    size_[e] = count_[e] > 1 ? weight[e] / count_[e] : weight[e];
    away_ += size_[e] * (count_[e] - at_home_[e]);
    relative_weight_[e] = relative(weight[e]);
    relative_size_[e] = relative(size_[e]);
  }
  for (const std::int32_t column : columns_.of_gpu) {
    std::int64_t load = 0;
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      slot_size_[at] = relative_size_[expert_[at]];
      load += size_[expert_[at]];
    }
    load_[column] = load;
    relative_load_[column] = relative(load);
  }
}

void PricedSearch::find_served() {
  std::ranges::fill(served_, 0);
  for (const std::int32_t column : columns_.of_gpu) {
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      served_[place_of(expert_[at], columns_.node[column])] += size_[expert_[at]];
    }
  }
}

void PricedSearch::measure() {
  heavy_ = std::ranges::max_element(load_) - load_.begin();
  peak_ = relative_load_[heavy_];
}

// Exchanges of the heaviest GPU within its node, which cost no traffic.
struct PricedSearch::NearSwaps {
  const float *size, *load;  // of the node's first column
  const float* mine;         // sizes on the heaviest GPU
  Eight* by_place;           // the best with each place of the others
  Index node_width, width, places;
  float peak;
  float best;
  Index column = -1, place = -1, given = -1;

  EPLB_INLINE void run() {
    for (Index first = 0; first < node_width; first += kEight) {
      Eight held;
      eplb::load(held, load + first);
      const Eight gap = peak - held;
      Eight most = Eight{} + best;
      for (Index k = 0; k < places; ++k) {
        Eight theirs, of_place = Eight{} + best;
        eplb::load(theirs, size + k * width + first);
        for (Index i = 0; i < places; ++i) raise(of_place, worth(theirs, i, gap));
        by_place[k] = of_place;
        raise(most, of_place);
      }
      const float highest = most_of(most);
      if (highest > best) best = highest, find(first, gap);
    }
  }

  EPLB_INLINE Eight worth(const Eight& theirs, Index i, const Eight& gap) const {
    const Eight moved = mine[i] - theirs;
    Eight least = gap - moved;
    lower(least, moved);
    return least;
  }

  EPLB_INLINE void find(Index first, const Eight& gap) {
    for (place = 0; place < places; ++place) {
      if (!is_any(by_place[place] == best)) continue;
      Eight theirs;
      eplb::load(theirs, size + place * width + first);
      for (given = 0; given < places; ++given) {
        const EightInts found = worth(theirs, given, gap) == best;
        if (!is_any(found)) continue;
        for (column = first; found[column - first] == 0; ++column) {
        }
        return;
      }
    }
  }
};

PricedSearch::Move PricedSearch::best_near() const {
  const Index places = columns_.places, first = node_of(heavy_) * columns_.node_width;
  float mine[kMostPlaces];
  Eight by_place[kMostPlaces];
  Move move;
  if (places > kMostPlaces) return move;
  for (Index k = 0; k < places; ++k) mine[k] = slot_size_[k * columns_.width + heavy_];
  NearSwaps swaps{slot_size_.data() + first, relative_load_.data() + first, mine, by_place,
                  columns_.node_width, columns_.width, places, peak_, kLeast};
  with_widest_vectors(swaps);
  if (swaps.column < 0) return move;
  return {swaps.best, swaps.given * columns_.width + heavy_,
          swaps.place * columns_.width + first + swaps.column, -1};
}

// Exchanges of the heaviest GPU with those of other nodes.
struct PricedSearch::FarSwaps {
  const float *size, *load;
  const std::int32_t* home;  // of slots
  const float* mine;         // sizes on the heaviest GPU
  const std::int32_t* my_home;
  Eight* by_place;  // the best with each place of the others
  Index num_nodes, node_width, width, places, node;
  float peak, price;
  float best;
  Index column = -1, place = -1, given = -1;

  EPLB_INLINE Eight worth(Index i, const Eight& gap, const Eight& theirs, const Eight& paid,
                          float mine_paid) const {
    const Eight moved = mine[i] - theirs;
    Eight least = gap - moved;
    lower(least, moved);
    return least - paid - mine_paid;
  }

  // What the traffic of a replica that leaves the place for this node rises by.
  EPLB_INLINE Eight paid_for(const Eight& theirs, Index at, Index there) const {
    EightInts homes;
    eplb::load(homes, home + at);
    // Those at home leave it; those whose home is the heaviest GPU's node come there.
    const EightInts leave = homes == static_cast<std::int32_t>(there);
    const EightInts come = homes == static_cast<std::int32_t>(node);
    const Eight each = price * theirs;
    return (leave ? each : Eight{}) - (come ? each : Eight{});
  }

  EPLB_INLINE void run() {
    float mine_paid[kMostPlaces];
    for (Index there = 0; there < num_nodes; ++there) {
      if (there == node) continue;
      for (Index i = 0; i < places; ++i) {
        const float each = price * mine[i];
        mine_paid[i] = my_home[i] == node ? each : my_home[i] == there ? -each : 0.0F;
      }
      for (Index first = there * node_width; first < (there + 1) * node_width; first += kEight) {
        Eight held, theirs;
        eplb::load(held, load + first);
        const Eight gap = peak - held;
        Eight most = Eight{} + best;
        for (Index k = 0; k < places; ++k) {
          eplb::load(theirs, size + k * width + first);
          const Eight paid = paid_for(theirs, k * width + first, there);
          Eight of_place = Eight{} + best;
          for (Index i = 0; i < places; ++i) {
            raise(of_place, worth(i, gap, theirs, paid, mine_paid[i]));
          }
          by_place[k] = of_place;
          raise(most, of_place);
        }
        const float highest = most_of(most);
        if (highest <= best) continue;
        best = highest;
        find(first, there, gap, mine_paid);
      }
    }
  }

  EPLB_INLINE void find(Index first, Index there, const Eight& gap, const float* mine_paid) {
    for (place = 0; place < places; ++place) {
      if (!is_any(by_place[place] == best)) continue;
      Eight theirs;
      eplb::load(theirs, size + place * width + first);
      const Eight paid = paid_for(theirs, place * width + first, there);
      for (given = 0; given < places; ++given) {
        const EightInts found = worth(given, gap, theirs, paid, mine_paid[given]) == best;
        if (!is_any(found)) continue;
        for (column = first; found[column - first] == 0; ++column) {
        }
        return;
      }
    }
  }
};

PricedSearch::Move PricedSearch::best_far(float price) const {
  const Index places = columns_.places;
  float mine[kMostPlaces];
  Eight by_place[kMostPlaces];
  std::int32_t my_home[kMostPlaces];
  Move move;
  if (places > kMostPlaces) return move;
  for (Index k = 0; k < places; ++k) {
    mine[k] = slot_size_[k * columns_.width + heavy_];
    my_home[k] = slot_home_[k * columns_.width + heavy_];
  }
  FarSwaps swaps{slot_size_.data(), relative_load_.data(), slot_home_.data(), mine, my_home, by_place,
                 locality_.num_nodes, columns_.node_width, columns_.width, places, node_of(heavy_),
                 peak_, price, kLeast};
  with_widest_vectors(swaps);
  if (swaps.column < 0) return move;
  return {swaps.best, swaps.given * columns_.width + heavy_,
          swaps.place * columns_.width + swaps.column, -1};
}

float PricedSearch::share(std::int32_t expert, Index count) const {
  return relative_weight_[expert] / static_cast<float>(count);
}

// What is served away from home more with so many more replicas, of which so many are at home.
float PricedSearch::away_after(std::int32_t expert, Index more, Index at_home, float size) const {
  const Index count = count_[expert], now = at_home_[expert];
  return size * static_cast<float>(count + more - now - at_home) -
         relative_size_[expert] * static_cast<float>(count - now);
}

// The largest loads of the GPUs that hold an expert's replicas, of those that have several.
void PricedSearch::find_peaks() {
  replicas_.clear();
  for (Index q = 0; q < columns_.size(); ++q) {
    const std::int32_t expert = expert_[q];
    if (expert >= 0 && count_[expert] > 1) replicas_.push_back(static_cast<std::int32_t>(q)), peaks_[expert] = {};
  }
  for (const std::int32_t q : replicas_) {
    Peaks& peaks = peaks_[expert_[q]];
    const float held = relative_load_[columns_.column_of(q)];
    if (held > peaks.first) {
      peaks.second = peaks.first;
      peaks.first = held, peaks.at = q;
    } else {
      peaks.second = std::max(peaks.second, held);
    }
  }
}

// Of the GPUs that hold an expert's other replicas.
float PricedSearch::largest_beside(std::int32_t expert, Index at) const {
  const Peaks& peaks = peaks_[expert];
  return peaks.at == at ? peaks.second : peaks.first;
}

// A further replica of an expert of the heaviest GPU, in the slot of one that can spare it; or a
// light expert in a slot that the heaviest GPU can spare.
PricedSearch::Move PricedSearch::best_copy(float price) {
  struct Taker {
    std::int32_t expert;
    float then, away, away_at_home;
  };
  Taker takers[kTakers];
  std::size_t num = 0;
  for (Index p = heavy_; p < columns_.size(); p += columns_.width) {
    const std::int32_t expert = expert_[p];
    std::size_t at = num;
    while (at > 0 && relative_size_[expert] > relative_size_[takers[at - 1].expert]) --at;
    if (at == kTakers || (at > 0 && takers[at - 1].expert == expert)) continue;
    num = std::min(num + 1, kTakers);
    for (std::size_t i = num - 1; i > at; --i) takers[i] = takers[i - 1];
    takers[at].expert = expert;
  }
  for (std::size_t i = 0; i < num; ++i) {
    Taker& taker = takers[i];
    taker.then = share(taker.expert, count_[taker.expert] + 1);
    taker.away = away_after(taker.expert, 1, 0, taker.then);
    taker.away_at_home = away_after(taker.expert, 1, 1, taker.then);
  }
  Move best;
  find_peaks();
  for (const std::int32_t q : replicas_) {
    const std::int32_t spare = expert_[q];
    const Index column = columns_.column_of(q), node = columns_.node[column];
    if (column == heavy_) continue;
    const float size = relative_size_[spare], grown = share(spare, count_[spare] - 1);
    const float risen = largest_beside(spare, q) + grown - size;
    if (risen >= peak_) continue;
    const float lost = away_after(spare, -1, -(home_[spare] == node), grown);
    const float left = relative_load_[column] - size;
    for (std::size_t i = 0; i < num; ++i) {
      const Taker& taker = takers[i];
      if (taker.expert == spare) continue;
      const float fallen = relative_size_[taker.expert] - taker.then;
      const float reached = std::max({peak_ - fallen, left + taker.then, risen});
      const float added = home_[taker.expert] == node ? taker.away_at_home : taker.away;
      const float worth = peak_ - reached - price * (lost + added);
      if (worth > best.worth) best = {worth, q, -1, taker.expert};
    }
  }
  if (light_.empty()) find_light();
  look_at_fillers(price, best);
  return best;
}

void PricedSearch::find_light() {
  for (std::int32_t expert = 0; expert < std::ssize(count_); ++expert) {
    std::size_t at = light_.size();
    while (at > 0 && relative_weight_[expert] < relative_weight_[light_[at - 1]]) --at;
    if (at == kFillers) continue;
    light_.insert(light_.begin() + at, expert);
    if (light_.size() > kFillers) light_.pop_back();
  }
}

void PricedSearch::look_at_fillers(float price, Move& best) const {
  for (Index p = heavy_; p < columns_.size(); p += columns_.width) {
    const std::int32_t spare = expert_[p];
    if (count_[spare] < 2) continue;
    const float size = relative_size_[spare], grown = share(spare, count_[spare] - 1);
    const float risen = largest_beside(spare, p) + grown - size;
    if (risen >= peak_) continue;
    const float lost = away_after(spare, -1, -is_home(spare, p), grown);
    for (const std::int32_t taker : light_) {
      if (taker == spare) continue;
      const float then = share(taker, count_[taker] + 1);
      const float left = peak_ - size + then;
      const float added = lost + away_after(taker, 1, is_home(taker, p), then);
      const float worth = peak_ - std::max(left, risen) - price * added;
      if (worth > best.worth) best = {worth, p, -1, taker};
    }
  }
}

// An exchange that brings a place's expert home, and lifts no GPU above the ceiling.
struct PricedSearch::Homeward {
  const float *size, *load;
  const std::int32_t* home;
  Index node_width, width, places, node, to;
  float mine, room, peak;  // the replica, what its GPU may rise by, what none may exceed
  float best;
  Index column = -1, place = -1;

  EPLB_INLINE void run() {
    for (Index first = to * node_width; first < (to + 1) * node_width; first += kEight) {
      Eight held;
      eplb::load(held, load + first);
      const Eight gap = peak - held;
      for (Index k = 0; k < places; ++k) {
        const Eight all = worth(k * width + first, gap);
        const float highest = most_of(all);
        if (highest <= best) continue;
        best = highest, place = k;
        for (Index i = kEight - 1; i >= 0; --i) column = all[i] == best ? first + i : column;
      }
    }
  }

  EPLB_INLINE Eight worth(Index at, const Eight& gap) const {
    Eight theirs;
    EightInts homes;
    eplb::load(theirs, size + at), eplb::load(homes, home + at);
    const Eight moved = mine - theirs;
    const EightInts fits = (moved <= gap) & (-moved <= room);
    const Eight left = homes == static_cast<std::int32_t>(to) ? theirs : Eight{};
    const Eight come = homes == static_cast<std::int32_t>(node) ? theirs : Eight{};
    return fits ? mine - left + come : Eight{};
  }
};

bool PricedSearch::bring_home() {
  if (locality_.price <= 0.0) return false;
  // Once around, from where the last one was found.
  const Index size = columns_.size(), first = cursor_;
  Index column = columns_.column_of(first);
  for (Index at = first;;) {
    if (slot_home_[at] != columns_.node[column] && bring_home(at, column)) {
      cursor_ = at;
      return true;
    }
    if (++at == size) at = 0;
    if (++column == columns_.width) column = 0;
    if (at == first) return false;
  }
}

bool PricedSearch::bring_home(Index at, Index column) {
  const std::int32_t to = slot_home_[at];
  Homeward homeward{slot_size_.data(), relative_load_.data(), slot_home_.data(),
                    columns_.node_width, columns_.width, columns_.places, columns_.node[column], to,
                    slot_size_[at], peak_ - relative_load_[column], peak_, kLeast};
  with_widest_vectors(homeward);
  if (homeward.column < 0) return false;
  swap(at, homeward.place * columns_.width + homeward.column);
  return true;
}

bool PricedSearch::step() {
  const float excess = peak_ - 1.0F;
  if (excess < kLevel && !is_home_) {
    is_home_ = !bring_home();
    if (!is_home_) {
      keep_if_least();
      return true;
    }
  }
  Move best = best_near();
  if (best.worth < kGood * excess) {
    Index above = 0;
    for (const float each : relative_load_) above += each > kNear && each < kFull;
    const float price = static_cast<float>(locality_.price) * static_cast<float>(std::max<Index>(above, 1)) /
                        static_cast<float>(locality_.num_gpus);
    const Move far = best_far(price);
    if (far.worth > best.worth) best = far;
    if (best.worth < kGood * excess) {
      const Move copy = best_copy(price);
      if (copy.worth > best.worth) best = copy;
    }
  }
  if (best.at < 0) {
    is_home_ = !bring_home();
    if (is_home_) return false;
  } else {
    make(best);
  }
  keep_if_least();
  return true;
}

void PricedSearch::make(const Move& move) {
  if (move.taker < 0) {
    swap(move.at, move.other);
  } else {
    since_least_.push_back({move.at, -1, expert_[move.at]});
    set_slot(move.at, move.taker);
  }
}

void PricedSearch::swap(Index at, Index other) {
  since_least_.push_back({at, other, -1});
  const Index here = node_of(at), there = node_of(other);
  const auto move = [&](std::int32_t expert, Index from, Index to) {
    const std::int32_t come = (home_[expert] == to) - (home_[expert] == from);
    at_home_[expert] += come;
    away_ -= come * size_[expert];
    served_[place_of(expert, from)] -= size_[expert];
    served_[place_of(expert, to)] += size_[expert];
  };
  if (here != there) move(expert_[at], here, there), move(expert_[other], there, here);
  const std::int64_t moved = size_[expert_[at]] - size_[expert_[other]];
  const Index one = columns_.column_of(at), two = columns_.column_of(other);
  load_[one] -= moved, load_[two] += moved;
  relative_load_[one] = relative(load_[one]), relative_load_[two] = relative(load_[two]);
  std::swap(expert_[at], expert_[other]);
  std::swap(slot_home_[at], slot_home_[other]);
  std::swap(slot_size_[at], slot_size_[other]);
  measure();
}

void PricedSearch::set_slot(Index at, std::int32_t expert) {
  const std::int32_t before = expert_[at];
  const auto change = [&](std::int32_t changed, std::int32_t more) {
    away_ -= size_[changed] * (count_[changed] - at_home_[changed]);
    count_[changed] += more;
    at_home_[changed] += is_home(changed, at) ? more : 0;
  };
  load_[columns_.column_of(at)] += size_[expert] - size_[before];
  served_[place_of(before, node_of(at))] -= size_[before];
  served_[place_of(expert, node_of(at))] += size_[expert];
  expert_[at] = expert;
  slot_home_[at] = home_[expert];
  change(before, -1), change(expert, 1);
  set_size(before), set_size(expert);
  relative_load_[columns_.column_of(at)] = relative(load_[columns_.column_of(at)]);
  measure();
}

void PricedSearch::set_size(std::int32_t expert) {
  const std::int64_t fresh = weight_[expert] / count_[expert], more = fresh - size_[expert];
  const float size = relative(fresh);
  for (Index q = 0; q < columns_.size(); ++q) {
    if (expert_[q] != expert) continue;
    const Index column = columns_.column_of(q);
    load_[column] += more;
    served_[place_of(expert, columns_.node[column])] += more;
    relative_load_[column] = relative(load_[column]);
    slot_size_[q] = size;
  }
  size_[expert] = fresh;
  relative_size_[expert] = size;
  away_ += fresh * (count_[expert] - at_home_[expert]);
}

void PricedSearch::keep_if_least() {
  const double cost = locality_.cost(load_[heavy_], static_cast<double>(away_));
  if (cost >= least_cost_) return;
  least_cost_ = cost;
  since_least_.clear();
  if (!homes_suit()) change_homes();
}

// Whether every group has the node that serves most of it.
bool PricedSearch::homes_suit() const {
  if (locality_.price <= 0.0) return true;
  const std::int64_t* row = served_.data();
  for (Index group = 0; group < locality_.num_groups; ++group, row += locality_.num_nodes) {
    const std::int64_t kept = row[home_of_group_[group]];
    for (Index node = 0; node < locality_.num_nodes; ++node) {
      if (row[node] > kept) return false;
    }
  }
  return true;
}

// Take the best homes, where they are better.
void PricedSearch::change_homes() {
  const std::vector<Index> best = best_homes(locality_, served_);
  std::int64_t kept = 0, before = 0;
  for (Index group = 0; group < locality_.num_groups; ++group) {
    kept += served_[group * locality_.num_nodes + best[group]];
    before += served_[group * locality_.num_nodes + home_of_group_[group]];
  }
  if (kept <= before) return;
  home_of_group_ = best;
  std::ranges::fill(at_home_, 0);
  for (Index e = 0; e < locality_.num_experts; ++e) {
    home_[e] = static_cast<std::int32_t>(best[group_[e]]);
  }
  for (const std::int32_t column : columns_.of_gpu) {
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      slot_home_[at] = home_[expert_[at]];
      at_home_[expert_[at]] += slot_home_[at] == columns_.node[column];
    }
  }
  away_ -= kept - before;
  least_cost_ = locality_.cost(load_[heavy_], static_cast<double>(away_));
}

Worth PricedSearch::finish(std::span<std::int64_t> placed, std::span<std::int64_t> homes) {
  go_back();
  auto next = placed.begin();
  for (const std::int32_t column : columns_.of_gpu) {
    for (Index at = column; at < columns_.size(); at += columns_.width) *next++ = expert_[at];
  }
  std::ranges::copy(home_of_group_, homes.begin());
  return {load_[heavy_], static_cast<double>(away_), least_cost_};
}

void PricedSearch::go_back() {
  const std::vector<Done> done = std::move(since_least_);
  for (Index i = std::ssize(done) - 1; i >= 0; --i) {
    if (done[i].other >= 0) {
      swap(done[i].at, done[i].other);
    } else {
      set_slot(done[i].at, done[i].before);
    }
  }
  since_least_.clear();
}

}  // namespace eplb::serving
