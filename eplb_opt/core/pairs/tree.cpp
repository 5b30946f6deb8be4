#include "pairs/tree.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace eplb::pairs {

namespace {

// Rounds of a node, and of the root: its children go on where it stops.
constexpr Index kMostRounds = 8, kRootRounds = 6;
// Steps of an ascent.
constexpr Index kNodeSteps = 60, kRootSteps = 150;
// A round that leaves more than this share of the options is the last one.
constexpr double kLargestRest = 1 - 0.03;
// With more options an expert an ascent looks at the first few.
constexpr Index kManyOptions = 4;
// What the bound has to pass the slots by, for the prices' rounding.
constexpr double kMargin = 1e-4;
// What an expert's big options have to differ by to count as undecided.
constexpr double kUndecided = 0.1;
// Puts experts that are torn between big options before all others.
constexpr double kBigFirst = 1e9;

}  // namespace

void Trace::open_node() {
  rounds.push_back(0);
  expert.push_back(-1);
  count.push_back(-1);
}

void Trace::add_round(std::span<const std::int64_t> price_of_row, Index num_options) {
  const auto before = std::ssize(row);
  for (Index i = 0; i < std::ssize(price_of_row); ++i) {
    if (price_of_row[i] == 0) continue;
    row.push_back(i);
    price.push_back(price_of_row[i]);
  }
  entries.push_back(std::ssize(row) - before);
  most_cells = std::max(most_cells, num_options * (entries.back() + 1));
  ++rounds.back();
}

Tree::Tree(const Layer& layer, Wide level, double best)
    : num_slots_(layer.num_slots()),
      load_(layer.load().begin(), layer.load().end()),
      best_(best),
      replicas_(load_, num_slots_),
      counts_(load_.size()) {
  std::optional<Level> found = Level::of(layer, level);
  if (!found) {
    trace_.open_node();  // the fewest replicas exceed the slots: closed by itself
    return;
  }
  level_ = *std::move(found);
  Node root;
  root.kept.resize(level_.options.size());
  std::iota(root.kept.begin(), root.kept.end(), 0);
  root.running.assign(level_.threshold.size() + 1, 0.0);
  stack_.push_back(std::move(root));
}

void Tree::begin_at(std::span<const double> running) {
  if (stack_.size() == 1) std::ranges::copy(running, stack_.front().running.begin() + 1);
}

Index Tree::grow(Index nodes, const Deadline& deadline) {
  has_found_ = false;
  const Index before = std::ssize(trace_.entries);
  for (Index done = 0; done < nodes && !stack_.empty() && !has_found_ && !is_stuck_; ++done) {
    if (done > 0 && deadline.expired()) break;
    Node& node = stack_.back();
    if (node.rounds == 0) trace_.open_node();
    const Verdict verdict = work(node, deadline);
    if (verdict == Verdict::kPaused) break;
    if (is_at_root()) root_running_ = node.running;
    if (verdict == Verdict::kClosed) stack_.pop_back();
    if (verdict == Verdict::kOpen) branch();
    if (verdict == Verdict::kStuck) keep_counts_of_stuck();
  }
  return std::ssize(trace_.entries) - before;
}

std::optional<bool> Tree::decide(const Deadline& deadline) {
  has_found_ = false;
  if (!decider_) {
    if (root_running_.empty() || stack_.empty() || is_stuck_) return std::nullopt;
    decider_.emplace(level_.options, root_running_, num_slots_);
  }
  const std::optional<bool> answer = decider_->decide(deadline);
  if (answer.value_or(false)) {
    best_counts_.assign(decider_->counts().begin(), decider_->counts().end());
    has_found_ = true;
  }
  return answer;
}

Tree::Verdict Tree::work(Node& node, const Deadline& deadline) {
  left_.select(level_.options, node.kept);
  // A call without time does one round all the same, so that short turns come to an end, too.
  for (bool has_worked = false; has_another_round(node); has_worked = true) {
    if (has_worked && deadline.expired()) return Verdict::kPaused;
    const std::int64_t room = num_slots_ * kDigits - replicas_proven(node);
    if (room < 0) return Verdict::kClosed;
    try_counts();
    strike_off(node, room);
  }
  return left_.is_decided() ? Verdict::kStuck : Verdict::kOpen;
}

// Once no expert has a choice left, one more round tells.
bool Tree::has_another_round(const Node& node) const {
  const Index most = is_at_root() ? kRootRounds : kMostRounds;
  return node.makes_progress &&
         (node.rounds < most || (node.rounds == most && left_.is_decided()));
}

// A round: prices for the rows as they are now, and what they prove, in 1 / kDigits.
std::int64_t Tree::replicas_proven(Node& node) {
  rows_.build(left_, std::ssize(level_.threshold));
  weight_.resize(left_.size());
  excess_.resize(left_.size());
  price_.assign(rows_.size(), 0);
  find_prices(node);
  trace_.add_round(price_, left_.size());
  ++node.rounds;
  return prover_.prove(left_, rows_, price_, excess_);
}

void Tree::find_prices(Node& node) {
  const std::span<const std::int64_t> need = rows_.need();
  if (left_.is_decided()) {
    // With one option each, the options' own changes are the least ones, and what a row still needs
    // it will never get.
    std::ranges::fill(weight_, 1.0);
    const auto worst = std::ranges::max_element(need);
    if (worst != need.end() && *worst > 0) {
      price_[worst - need.begin()] = (num_slots_ + 1) * kDigits;
    }
    return;
  }
  if (left_.size() > kManyOptions * left_.num_experts()) {
    ascent_.take_first(left_, rows_.size());
  } else {
    ascent_.take_all(left_, rows_);
  }
  const double slots = static_cast<double>(num_slots_) + kMargin;
  ascent_.climb(slots, is_at_root() ? kRootSteps : kNodeSteps, node.running, weight_);
  round_prices(node.running, need, price_);
}

void Tree::strike_off(Node& node, std::int64_t most_excess) {
  const Index before = left_.size();
  Index after = 0;
  for (Index option = 0; option < before; ++option) {
    if (excess_[option] > most_excess) continue;
    node.kept[after] = node.kept[option];
    weight_[after] = weight_[option];
    ++after;
  }
  node.kept.resize(after);
  weight_.resize(after);
  const bool was_decided = left_.is_decided();
  left_.select(level_.options, node.kept);
  const bool struck_few =
      static_cast<double>(after) >= static_cast<double>(before) * kLargestRest;
  node.makes_progress = !was_decided && (!struck_few || left_.is_decided());
}

// The counts that the ascent took most often, where they are better than all so far.
void Tree::try_counts() {
  for (Index expert = 0; expert < left_.num_experts(); ++expert) {
    const auto begin = weight_.begin() + left_.first[expert];
    const auto end = weight_.begin() + left_.first[expert + 1];
    counts_[expert] = left_.count[std::max_element(begin, end) - weight_.begin()];
  }
  refill(load_, counts_, num_slots_);
  replicas_.sort(counts_);
  const double value = replicas_.rate({}, 0.0).largest;
  if (value >= best_) return;
  best_ = value;
  best_counts_ = counts_;
  has_found_ = true;
}

void Tree::keep_counts_of_stuck() {
  is_stuck_ = has_found_ = true;
  best_counts_.assign(left_.count.begin(), left_.count.end());
  refill(load_, best_counts_, num_slots_);
}

// Nothing looks at them again, and they are most of a tree's memory.
void Tree::forget_struck_off() {
  std::swap(level_.options, left_);
  std::vector<std::int32_t>& kept = stack_.back().kept;
  kept.shrink_to_fit();
  std::iota(kept.begin(), kept.end(), 0);
  left_ = {};
}

// How undecided an expert is.
//
// First come experts that are torn between big options, or big and small: they are few, and decide
// what the small ones have to match. Small ones are many and alike: while one is branched on the
// next takes its place. Among them, those come first whose options differ in the most rows.
double Tree::indecision(Index expert) const {
  const Index first = left_.first[expert], end = left_.first[expert + 1];
  double total = 0.0, mean = 0.0, torn = 0.0, spread = 0.0;
  for (Index option = first; option < end; ++option) {
    total += weight_[option];
    mean += weight_[option] * left_.rank[option];
  }
  if (total <= 0) return 0.0;
  for (Index option = first; option < end; ++option) {
    const double share = weight_[option] / total;
    spread += share * std::abs(left_.rank[option] - mean / total);
    if (left_.change[option] < 0) torn += share * (1 - share);
  }
  return torn >= kUndecided ? kBigFirst * torn : spread;
}

// The most undecided expert, and the largest count below or at its mean that leaves one above it.
Tree::Branch Tree::choose_branch() const {
  Index chosen = -1;
  double most = -1.0;
  for (Index expert = 0; expert < left_.num_experts(); ++expert) {
    if (left_.first[expert + 1] - left_.first[expert] < 2) continue;
    const double key = indecision(expert);
    if (key > most) most = key, chosen = expert;
  }
  const Index first = left_.first[chosen], last = left_.first[chosen + 1] - 1;
  double total = 1e-12, mean = 0.0;
  for (Index option = first; option <= last; ++option) {
    total += weight_[option];
    mean += weight_[option] * left_.count[option];
  }
  Index split = first;
  for (Index option = first; option < last; ++option) {
    if (left_.count[option] <= mean / total + 1e-9) split = option;
  }
  return {chosen, left_.count[split]};
}

// Put the two halves in the node's place; the one of the lower counts is worked on first.
void Tree::branch() {
  const Branch on = choose_branch();
  if (is_at_root()) forget_struck_off();
  trace_.expert.back() = on.expert;
  trace_.count.back() = on.count;
  Node lower, upper;
  lower.running = stack_.back().running;
  upper.running = std::move(stack_.back().running);
  const Options& all = level_.options;
  const auto begins = all.first[on.expert], ends = all.first[on.expert + 1];
  for (const std::int32_t option : stack_.back().kept) {
    const bool is_own = begins <= option && option < ends;
    if (!is_own || all.count[option] <= on.count) lower.kept.push_back(option);
    if (!is_own || all.count[option] > on.count) upper.kept.push_back(option);
  }
  stack_.back() = std::move(upper);
  stack_.push_back(std::move(lower));
}

}  // namespace eplb::pairs
