#include "pairs/decider.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "pairs/ascent.hpp"
#include "pairs/prover.hpp"
#include "pairs/rows.hpp"

namespace eplb::pairs {

namespace {

// Rounds of prices and of striking off options, and the steps of each.
constexpr Index kRounds = 8, kSteps = 300;
// What the bound has to pass the slots by, for the prices' rounding.
constexpr double kMargin = 1e-4;
// Room for the labels of a stage, for all steps, and for tables of gains and of least counts.
constexpr Index kMostLabels = 200'000, kMostSteps = 4'000'000, kMostCells = 8'000'000;
// Options that prices are looked for with.
constexpr Index kMostOptions = 20'000;
constexpr std::int32_t kEmpty = -1;
constexpr std::int32_t kNever = std::numeric_limits<std::int32_t>::max() / 2;

std::uint64_t hash(std::span<const std::uint16_t> needs) {
  std::uint64_t value = 0xCBF29CE484222325U;  // FNV-1a (Fowler, Noll and Vo), two bytes at a time
  for (const std::uint16_t need : needs) value = (value ^ need) * 0x100000001B3U;
  return value ^ (value >> 29);
}

}  // namespace

Decider::Decider(Options options, std::vector<double> running, Index num_slots)
    : options_(std::move(options)), num_slots_(num_slots) {
  const Index num_rows = std::ssize(running) - 1;
  has_given_up_ = options_.size() > kMostOptions;
  if (has_given_up_) return;
  is_closed_ = strike_off(running, num_rows);
  if (is_closed_) return;
  Rows rows;
  rows.build(options_, num_rows);
  has_given_up_ = !list_rows(running, rows);
  if (has_given_up_) return;
  list_experts();
  list_gains(rows);
  list_least_counts();
  begin();
}

// Options too dear for the slots, as in the nodes of `Tree`; whether that closes the level.
bool Decider::strike_off(std::vector<double>& running, Index num_rows) {
  Rows rows;
  Ascent ascent;
  Prover prover;
  std::vector<std::int64_t> price(num_rows), excess;
  std::vector<double> weight;
  std::vector<std::int32_t> kept;
  for (Index round = 0; round < kRounds && !options_.is_decided(); ++round) {
    rows.build(options_, num_rows);
    ascent.take_all(options_, rows);
    weight.resize(options_.size());
    excess.resize(options_.size());
    ascent.climb(static_cast<double>(num_slots_) + kMargin, kSteps, running, weight);
    round_prices(running, rows.need(), price);
    const std::int64_t room =
        num_slots_ * kDigits - prover.prove(options_, rows, price, excess);
    if (room < 0) return true;
    kept.clear();
    for (std::int32_t option = 0; option < options_.size(); ++option) {
      if (excess[option] <= room) kept.push_back(option);
    }
    if (std::ssize(kept) == options_.size()) return false;
    const Options before = std::exchange(options_, {});
    options_.select(before, kept);
  }
  return false;
}

// Whether there is memory for their tables.
bool Decider::list_rows(std::span<const double> running, const Rows& all) {
  std::vector<std::int64_t> price(all.size());
  round_prices(running, all.need(), price);
  Index most_need = 0, cells = 0;
  for (const bool with_price : {true, false}) {
    for (std::int32_t row = 0; row < all.size(); ++row) {
      const Index need = all.need()[row];
      if (need <= 0 || (price[row] > 0) != with_price) continue;
      rows_.push_back(row);
      price_.push_back(price[row]);
      need_.push_back(static_cast<Need>(need));
      row_begin_.push_back(cells);
      cells += need + 1;
      most_need = std::max(most_need, need);
    }
    if (with_price) num_priced_ = std::ssize(rows_);
  }
  width_ = std::ssize(rows_);
  stage_size_ = cells;
  return most_need <= std::numeric_limits<Need>::max() && width_ * options_.size() <= kMostCells &&
         cells * (options_.num_experts() + 1) <= kMostCells;
}

// Those torn between big replicas and others first, as they decide most; then the heavier before the
// lighter, so that experts that are alike follow each other.
void Decider::list_experts() {
  for (std::int32_t expert = 0; expert < options_.num_experts(); ++expert) experts_.push_back(expert);
  const auto key = [this](std::int32_t expert) {
    const Index first = options_.first[expert], size = options_.first[expert + 1] - first;
    const int kind = size == 1 ? 0 : options_.change[first] < 0 ? 1 : 2;
    return std::tuple(kind, options_.rank[first], expert);
  };
  std::ranges::sort(experts_, {}, key);
}

void Decider::list_gains(const Rows& all) {
  gain_.resize(options_.size() * width_);
  std::vector<std::int64_t> least(all.size());
  for (Index expert = 0; expert < options_.num_experts(); ++expert) {
    Index row = 0;
    for (const Rows::Step& step : all.steps(expert)) {
      for (; row < step.end && row < all.size(); ++row) least[row] = step.least;
    }
    for (Index o = options_.first[expert]; o < options_.first[expert + 1]; ++o) {
      for (Index k = 0; k < width_; ++k) {
        const std::int64_t change = options_.rank[o] > rows_[k] ? options_.change[o] : 0;
        const std::int64_t term = change - least[rows_[k]];
        gain_[o * width_ + k] = static_cast<Need>(std::min<std::int64_t>(term, need_[k]));
      }
    }
  }
}

// What the experts from each stage on cost in the Lagrangian bound, and the replicas that they take
// at least to give any one row what it needs.
void Decider::list_least_counts() {
  others_cost_.assign(stages() + 1, 0);
  least_count_.assign((stages() + 1) * stage_size_, kNever);
  for (Index k = 0; k < width_; ++k) least_count_[stages() * stage_size_ + row_begin_[k]] = 0;
  for (Index stage = stages() - 1; stage >= 0; --stage) {
    const std::int32_t expert = experts_[stage];
    std::int64_t cheapest = std::numeric_limits<std::int64_t>::max();
    std::int32_t* own = least_count_.data() + stage * stage_size_;
    const std::int32_t* later = own + stage_size_;
    for (Index o = options_.first[expert]; o < options_.first[expert + 1]; ++o) {
      const std::int32_t count = options_.count[o];
      const Need* gain = gain_.data() + o * width_;
      std::int64_t cost = count * kDigits;
      for (Index k = 0; k < num_priced_; ++k) cost -= price_[k] * gain[k];
      cheapest = std::min(cheapest, cost);
      for (Index k = 0; k < width_; ++k) {
        for (Index need = 0; need <= need_[k]; ++need) {
          const Index rest = row_begin_[k] + std::max<Index>(need - gain[k], 0);
          std::int32_t& least = own[row_begin_[k] + need];
          least = std::min(least, later[rest] + count);
        }
      }
    }
    others_cost_[stage] = others_cost_[stage + 1] + cheapest;
  }
}

void Decider::begin() {
  needs_ = need_;
  count_.assign(1, 0);
  tried_.resize(width_);
  table_.assign(1 << 10, kEmpty);
  steps_.emplace_back();
}

std::optional<bool> Decider::decide(const Deadline& deadline) {
  if (is_closed_) return false;
  while (!has_given_up_ && stage_ < stages()) {
    if (!advance(deadline)) return std::nullopt;
    if (count_.empty()) return false;
  }
  return has_given_up_ ? std::nullopt : conclude();
}

// One expert chooses; whether there was time and room.
bool Decider::advance(const Deadline& deadline) {
  constexpr Index kBetweenLooks = 256;
  const std::int32_t expert = experts_[stage_];
  for (; next_label_ < std::ssize(count_); ++next_label_) {
    if (next_label_ % kBetweenLooks == 0 && deadline.expired()) return false;
    for (Index o = options_.first[expert]; o < options_.first[expert + 1]; ++o) {
      try_option(next_label_, o);
    }
    has_given_up_ = std::ssize(next_count_) > kMostLabels;
    if (has_given_up_) return false;
  }
  end_stage();
  return !has_given_up_;
}

void Decider::try_option(Index label, Index option) {
  ++num_tried_;
  const std::span<const Need> before = needs(label);
  const Need* gain = gain_.data() + option * width_;
  for (Index k = 0; k < width_; ++k) {
    tried_[k] = before[k] > gain[k] ? static_cast<Need>(before[k] - gain[k]) : Need{0};
  }
  const std::int32_t count = count_[label] + options_.count[option];
  if (can_end(count)) keep(label, option, count);
}

bool Decider::can_end(std::int32_t count) const {
  std::int64_t cost = count * kDigits + others_cost_[stage_ + 1];
  for (Index k = 0; k < num_priced_; ++k) cost += price_[k] * tried_[k];
  if (cost > num_slots_ * kDigits) return false;
  const std::int32_t* least = least_count_.data() + (stage_ + 1) * stage_size_;
  for (Index k = 0; k < width_; ++k) {
    if (count + least[row_begin_[k] + tried_[k]] > num_slots_) return false;
  }
  return true;
}

// Add the label, or take the better of it and the one with the same needs.
void Decider::keep(Index label, Index option, std::int32_t count) {
  const Step step{static_cast<std::int32_t>(label), static_cast<std::int32_t>(option)};
  if (2 * next_count_.size() >= table_.size()) make_table_larger();
  const std::size_t mask = table_.size() - 1;
  std::size_t at = hash(tried_) & mask;
  for (; table_[at] != kEmpty; at = (at + 1) & mask) {
    const std::int32_t known = table_[at];
    if (!std::equal(tried_.begin(), tried_.end(), next_needs_.begin() + known * width_)) continue;
    if (count < next_count_[known]) {
      next_count_[known] = count;
      steps_.back()[known] = step;
    }
    return;
  }
  table_[at] = static_cast<std::int32_t>(next_count_.size());
  next_count_.push_back(count);
  next_needs_.insert(next_needs_.end(), tried_.begin(), tried_.end());
  steps_.back().push_back(step);
}

void Decider::make_table_larger() {
  table_.assign(2 * table_.size(), kEmpty);
  const std::size_t mask = table_.size() - 1;
  for (std::size_t label = 0; label < next_count_.size(); ++label) {
    const std::span<const Need> own(next_needs_.data() + label * width_, width_);
    std::size_t at = hash(own) & mask;
    while (table_[at] != kEmpty) at = (at + 1) & mask;
    table_[at] = static_cast<std::int32_t>(label);
  }
}

void Decider::end_stage() {
  std::swap(needs_, next_needs_);
  std::swap(count_, next_count_);
  next_needs_.clear();
  next_count_.clear();
  std::ranges::fill(table_, kEmpty);
  ++stage_;
  next_label_ = 0;
  Index num_steps = 0;
  for (const std::vector<Step>& of_stage : steps_) num_steps += std::ssize(of_stage);
  has_given_up_ = num_steps > kMostSteps;
  steps_.emplace_back();
}

// After the last expert every label left is one that needs nothing more, within the slots.
std::optional<bool> Decider::conclude() {
  counts_.assign(options_.num_experts(), 0);
  std::int32_t label = 0;
  for (Index stage = stages() - 1; stage >= 0; --stage) {
    const Step step = steps_[stage][label];
    counts_[experts_[stage]] = options_.count[step.option];
    label = step.parent;
  }
  return true;
}

}  // namespace eplb::pairs
