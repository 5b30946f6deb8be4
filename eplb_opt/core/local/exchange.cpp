#include "local/exchange.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "common/lanes.hpp"

namespace eplb::local {

namespace {

using CoarseBlock [[gnu::vector_size(kCoarseLanes * sizeof(Coarse))]] = Coarse;

EPLB_INLINE CoarseBlock block_at(const Coarse* first) {
  CoarseBlock block;
  std::memcpy(&block, first, sizeof(block));
  return block;
}

// Looks at exchanges of the heaviest GPU with the others.
class Search {
 public:
  Search(const Plan& plan, SortedSubsets& sorted, Index heavy)
      : plan_(plan),
        sorted_(sorted),
        heavy_(heavy),
        best_(plan.load(heavy)),
        lightest_(std::ranges::min_element(plan.loads()) - plan.loads().begin()),
        closest_(sorted.most_lanes()) {}

  Exchange find() {
    if (sorted_.is_stale(heavy_)) sorted_.refresh(plan_, heavy_);
    for (with_widest_vectors(*this); turn_ < plan_.node().num_gpus; with_widest_vectors(*this)) {
      if (sorted_.is_stale(other_)) {
        sorted_.refresh(plan_, other_);
      } else {
        walk_where_close();
        ++size_idx_;
      }
    }
    return found_;
  }

  // On to the next GPU and size of subsets that may hold a better exchange, or to a GPU that has to
  // be sorted first. What the lightest GPU,
  // which comes first, has to offer is seldom surpassed by heavier ones.
  EPLB_INLINE void run() {
    for (; turn_ < plan_.node().num_gpus; ++turn_, size_idx_ = 0) {
      other_ = turn_ < 0 ? lightest_ : turn_;
      if (other_ == heavy_ || turn_ == lightest_) continue;
      for (; may_help() && size_idx_ < sorted_.num_sizes(); ++size_idx_) {
        if (sorted_.is_stale(other_) || comes_close()) return;
      }
    }
  }

 private:
  // Whether a larger load is better than the best one, of equals the first GPU's.
  EPLB_INLINE bool is_better(std::int64_t larger) const {
    return larger < best_ || (larger == best_ && other_ < found_.other);
  }

  // Whether even loads of the two GPUs would be an improvement.
  EPLB_INLINE bool may_help() const {
    return is_better((plan_.load(heavy_) + plan_.load(other_) + 1) / 2);
  }

  // Whether some exchange levels the two GPUs well enough, as far as coarse sums tell.
  //
  // What is given less what is taken should be half the difference of the loads. The pair that comes
  // closest to it are neighbours when both GPUs' sums, one GPU's moved by that half, are merged; so
  // merging whole blocks and comparing all pairs of two blocks meets it.
  EPLB_INLINE bool comes_close() {
    const std::span<const Coarse> given = sorted_.order(heavy_, size_idx_).coarse;
    const std::span<const Coarse> taken = sorted_.order(other_, size_idx_).coarse;
    const int cut = sorted_.coarse_bits();
    const std::int64_t difference = plan_.load(heavy_) - plan_.load(other_);
    const auto half = static_cast<Coarse>(difference >> 1 >> cut);
    std::fill_n(closest_.begin(), given.size(), std::numeric_limits<Coarse>::max());
    CoarseBlock least = block_at(closest_.data());
    Index i = 0, j = 0;
    while (i < std::ssize(given) && j < std::ssize(taken)) {
      const CoarseBlock wanted = block_at(&given[i]) - half;
      CoarseBlock closest = block_at(&closest_[i]);
      for (Index lane = 0; lane < kCoarseLanes; ++lane) {
        const CoarseBlock distance = wanted - taken[j + lane];
        const CoarseBlock size = distance < 0 ? -distance : distance;
        closest = size < closest ? size : closest;
      }
      std::memcpy(&closest_[i], &closest, sizeof(closest));
      least = closest < least ? closest : least;
      const bool is_before = given[i + kCoarseLanes - 1] - half < taken[j + kCoarseLanes - 1];
      i += is_before ? kCoarseLanes : 0;
      j += is_before ? 0 : kCoarseLanes;
    }
    bool any = false;
    for (Index lane = 0; lane < kCoarseLanes; ++lane) any |= least[lane] <= close_enough();
    return any;
  }

  // Coarse distances that exact ones which make a better exchange may have.
  EPLB_INLINE Coarse close_enough() const {
    const std::int64_t exact = best_ - (plan_.load(heavy_) + plan_.load(other_)) / 2;
    // Each of three numbers was rounded down.
    return static_cast<Coarse>((exact >> sorted_.coarse_bits()) + 3);
  }

  // Walk where `comes_close` has found something, and as far around as a partner that it met may have
  // hidden another pair.
  void walk_where_close() {
    const std::span<const Coarse> given = sorted_.order(heavy_, size_idx_).coarse;
    const Coarse close = close_enough();
    const auto is_close = [close](Coarse distance) { return distance <= close; };
    const auto end = closest_.begin() + std::ssize(given);
    const Index first = std::find_if(closest_.begin(), end, is_close) - closest_.begin();
    const Index after_last = std::find_if(std::reverse_iterator(end), closest_.rend(), is_close).base() -
                             closest_.begin();
    const auto begin = std::ranges::lower_bound(given, given[first] - close);
    const auto stop = std::ranges::upper_bound(given, given[after_last - 1] + close);
    walk(begin - given.begin(), stop - given.begin());
  }

  // Both GPUs' subsets in ascending order with two pointers, so that each meets only the two
  // partners that bring the loads closest together.
  void walk(Index begin, Index end) {
    const SubsetOrder mine = sorted_.order(heavy_, size_idx_);
    const SubsetOrder theirs = sorted_.order(other_, size_idx_);
    const std::int64_t difference = plan_.load(heavy_) - plan_.load(other_);
    const Index num = std::ssize(mine.sums);
    const auto takes_too_little = [&](Index i, std::int64_t taken) {
      return 2 * (mine.sums[i] - taken) > difference;
    };
    Index j = std::ranges::partition_point(theirs.sums, [&](std::int64_t taken) {
                return takes_too_little(begin, taken);
              }) - theirs.sums.begin();
    for (Index i = begin; i < std::min(end, num); ++i) {
      while (j < num && takes_too_little(i, theirs.sums[j])) ++j;
      for (Index partner = std::max<Index>(j - 1, 0); partner < std::min(j + 1, num); ++partner) {
        look_at(mine.sums[i] - theirs.sums[partner], {other_, mine.places[i], theirs.places[partner]});
      }
    }
  }

  void look_at(std::int64_t moved, const Exchange& exchange) {
    const std::int64_t larger = std::max(plan_.load(heavy_) - moved, plan_.load(other_) + moved);
    if (moved <= 0 || !is_better(larger)) return;
    if (plan_.node().apart && !keeps_apart(exchange)) return;
    best_ = larger;
    found_ = exchange;
  }

  bool keeps_apart(const Exchange& exchange) const {
    return !brings_twin(heavy_, exchange.give, other_, exchange.take) &&
           !brings_twin(other_, exchange.take, heavy_, exchange.give);
  }

  bool brings_twin(Index from, Places moving, Index to, Places leaving) const {
    for (; !moving.empty(); moving = moving.rest()) {
      const std::int64_t expert = plan_.expert(plan_.first_slot(from) + moving.first());
      for (Index place = 0; place < plan_.node().slots_per_gpu; ++place) {
        if (plan_.expert(plan_.first_slot(to) + place) == expert && !leaving.contain(place)) {
          return true;
        }
      }
    }
    return false;
  }

  const Plan& plan_;
  SortedSubsets& sorted_;
  Index heavy_;
  std::int64_t best_;  // the larger load after the best exchange so far
  Index lightest_, turn_ = -1, other_ = 0, size_idx_ = 0;
  std::vector<Coarse> closest_;  // of each of the heaviest GPU's subsets, the least distance met
  Exchange found_;
};

}  // namespace

Exchange best_exchange(const Plan& plan, SortedSubsets& sorted, Index heavy) {
  return Search(plan, sorted, heavy).find();
}

void apply(const Exchange& exchange, Index heavy, Plan& plan) {
  Places give = exchange.give, take = exchange.take;
  for (; !give.empty(); give = give.rest(), take = take.rest()) {
    plan.swap(plan.first_slot(heavy) + give.first(), plan.first_slot(exchange.other) + take.first());
  }
}

}  // namespace eplb::local
