#include "serving/priced_search.hpp"

#include <algorithm>

#include "common/lanes.hpp"
#include "serving/priced_swaps.hpp"

namespace eplb::serving {

namespace {

// What a step brings at least, in mean GPU loads: more than float32 rounds away.
constexpr float kLeast = 2e-6F;
// An exchange within the node that takes so much off the excess is made at once.
constexpr float kGood = 0.5F;
// With an exchange that takes so much off it, copies are not looked at.
constexpr float kSome = 0.1F;
// GPUs above the mean by this part of it have to come down.
constexpr float kNear = 1.0F + 1.0F / 128;
// With less excess, experts are brought home first.
constexpr float kLevel = 2e-3F;
// Exchanges that level a node, for each of its GPUs at most.
constexpr Index kNodeSteps = 4;
// The lightest experts that a spared slot is offered to, and the largest replicas of the heaviest
// GPU whose experts may get a further one.
constexpr std::size_t kFillers = 3, kTakers = 3;

}  // namespace

PricedSearch::Move PricedSearch::best_near(Index heavy) const {
  const Index places = columns_.places, first = columns_.node[heavy] * columns_.node_width;
  float mine[kMostPlaces];
  Eight by_place[kMostPlaces];
  Move move;
  if (places > kMostPlaces) return move;
  for (Index k = 0; k < places; ++k) mine[k] = slot_size_[k * columns_.width + heavy];
  NearSwaps swaps{slot_size_.data() + first, relative_load_.data() + first, mine, by_place,
                  columns_.node_width, columns_.width, places, relative_load_[heavy], kLeast};
  with_widest_vectors(swaps);
  if (swaps.column < 0) return move;
  return {swaps.best, swaps.given * columns_.width + heavy,
          swaps.place * columns_.width + first + swaps.column, -1};
}

// A node's largest load need not be below what the heaviest node's would be if it were level.
void PricedSearch::level_nodes() {
  float enough = 1.0F;
  for (Index node = 0; node < locality_.num_nodes; ++node) {
    const Index first = node * columns_.node_width, gpus = locality_.gpus_of(node);
    float load = 0.0F;
    for (Index i = 0; i < gpus; ++i) load += relative_load_[first + i];
    enough = std::max(enough, load / static_cast<float>(gpus));
  }
  for (Index node = 0; node < locality_.num_nodes; ++node) level_node(node, enough + kLevel);
  measure();
  least_cost_ = locality_.cost(load_[heavy_], static_cast<double>(away_));
}

void PricedSearch::level_node(Index node, float enough) {
  const Index first = node * columns_.node_width, gpus = locality_.gpus_of(node);
  for (Index i = 0; i < kNodeSteps * gpus; ++i) {
    Index heavy = first;
    for (Index at = first + 1; at < first + gpus; ++at) {
      heavy = relative_load_[at] > relative_load_[heavy] ? at : heavy;
    }
    if (relative_load_[heavy] <= enough) return;
    const Move move = best_near(heavy);
    if (move.at < 0) return;
    swap_within(move.at, move.other);
  }
}

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
  if (!knows_replicas_) find_replicas();
  for (const std::int32_t q : replicas_) peaks_[expert_[q]] = {};
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

void PricedSearch::find_replicas() {
  replicas_.clear();
  std::ranges::fill(replica_of_slot_, -1);
  for (Index q = 0; q < columns_.size(); ++q) {
    if (expert_[q] < 0 || count_[expert_[q]] < 2) continue;
    replica_of_slot_[q] = static_cast<std::int32_t>(std::ssize(replicas_));
    replicas_.push_back(static_cast<std::int32_t>(q));
  }
  knows_replicas_ = true;
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
  // Where the heaviest GPU is stuck, it mostly stays so while experts come home.
  if (is_stuck_) {
    is_stuck_ = bring_home();
    if (is_stuck_) {
      keep_if_least();
      return true;
    }
  }
  Move best = best_near(heavy_);
  if (best.worth < kGood * excess) {
    Index above = 0;
    for (const float each : relative_load_) above += each > kNear && each < kFull;
    const float price = static_cast<float>(locality_.price) * static_cast<float>(std::max<Index>(above, 1)) /
                        static_cast<float>(locality_.num_gpus);
    const Move far = best_far(price);
    if (far.worth > best.worth) best = far;
    if (best.worth < kSome * excess) {
      const Move copy = best_copy(price);
      if (copy.worth > best.worth) best = copy;
    }
  }
  if (best.at < 0) {
    is_stuck_ = bring_home();
    is_home_ = !is_stuck_;
    if (is_home_) return false;
  } else {
    make(best);
  }
  keep_if_least();
  return true;
}

}  // namespace eplb::serving
