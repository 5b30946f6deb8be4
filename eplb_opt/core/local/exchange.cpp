#include "local/exchange.hpp"

#include <algorithm>
#include <numeric>

namespace eplb::local {

namespace {

// More subsets a GPU than this cost more to keep sorted than they bring.
constexpr Index kMaxSubsets = 260;

// Binomial coefficient, or something above `most` where it is larger.
Index num_combinations(Index num, Index size, Index most) {
  Index combinations = 1;
  for (Index i = 0; i < size && combinations <= most; ++i) {
    combinations = combinations * (num - i) / (i + 1);
  }
  return combinations;
}

// The next combination of 0 .. num - 1 in lexicographic order; false after the last.
bool advance(std::vector<Index>& combination, Index num) {
  const Index size = std::ssize(combination);
  Index i = size - 1;
  while (i >= 0 && combination[i] == num - size + i) --i;
  if (i < 0) return false;
  std::iota(combination.begin() + i, combination.end(), combination[i] + 1);
  return true;
}

// Looks at exchanges of one GPU with the heaviest one.
class Search {
 public:
  Search(const Plan& plan, const Subsets& subsets, SortedSubsets& sorted, Index heavy)
      : plan_(plan),
        subsets_(subsets),
        sorted_(sorted),
        heavy_(heavy),
        best_(plan.load(heavy)),
        heavy_order_(sorted.of(plan, heavy)) {}

  Exchange run() {
    for (Index other = 0; other < plan_.node().num_gpus; ++other) {
      if (other == heavy_ || (plan_.load(heavy_) + plan_.load(other) + 1) / 2 >= best_) continue;
      other_ = other;
      other_order_ = sorted_.of(plan_, other);
      for (Index size_idx = 0; size_idx < subsets_.num_sizes(); ++size_idx) {
        walk(subsets_.size_begin(size_idx), subsets_.size_begin(size_idx + 1));
      }
    }
    return found_;
  }

 private:
  // Both GPUs' subsets in ascending order with two pointers, so that each meets only the two
  // partners that bring the loads closest together.
  void walk(Index begin, Index end) {
    const std::int64_t difference = plan_.load(heavy_) - plan_.load(other_);
    Index j = begin;
    for (Index i = begin; i < end; ++i) {
      const std::int64_t given = heavy_order_.sum[i];
      while (j < end && 2 * (given - other_order_.sum[j]) > difference) ++j;
      if (j > begin) look_at(i, j - 1);
      if (j < end) look_at(i, j);
    }
  }

  void look_at(Index i, Index j) {
    const std::int64_t moved = heavy_order_.sum[i] - other_order_.sum[j];
    const std::int64_t larger = std::max(plan_.load(heavy_) - moved, plan_.load(other_) + moved);
    if (moved <= 0 || larger >= best_) return;
    const Exchange exchange{other_, heavy_order_.subset[i], other_order_.subset[j]};
    if (plan_.node().apart && !keeps_apart(exchange)) return;
    best_ = larger;
    found_ = exchange;
  }

  bool keeps_apart(const Exchange& exchange) const {
    const auto brings_twin = [&](Index from, Index subset, Index to, Index leaving) {
      return std::ranges::any_of(subsets_.places(subset), [&](Index place) {
        return stays_on(to, plan_.expert(plan_.first_slot(from) + place), leaving);
      });
    };
    return !brings_twin(heavy_, exchange.give, other_, exchange.take) &&
           !brings_twin(other_, exchange.take, heavy_, exchange.give);
  }

  // Whether an expert stands on a GPU outside the subset that leaves it.
  bool stays_on(Index gpu, std::int64_t expert, Index leaving) const {
    const std::span<const Index> gone = subsets_.places(leaving);
    for (Index place = 0; place < plan_.node().slots_per_gpu; ++place) {
      if (plan_.expert(plan_.first_slot(gpu) + place) != expert) continue;
      if (std::ranges::find(gone, place) == gone.end()) return true;
    }
    return false;
  }

  const Plan& plan_;
  const Subsets& subsets_;
  SortedSubsets& sorted_;
  Index heavy_, other_ = -1;
  std::int64_t best_;  // the larger load after the best exchange so far
  SortedSubsets::Order heavy_order_, other_order_{};
  Exchange found_;
};

}  // namespace

Subsets::Subsets(Index slots_per_gpu) : begin_{0}, size_begin_{0} {
  // Exchanging more than half the slots is exchanging the rest, under other names of the GPUs.
  for (Index size = 1; size <= std::max<Index>(slots_per_gpu / 2, 1); ++size) {
    const Index more = num_combinations(slots_per_gpu, size, kMaxSubsets);
    if (size > 1 && num() + more > kMaxSubsets) break;
    add_size(slots_per_gpu, size);
  }
}

void Subsets::add_size(Index slots_per_gpu, Index size) {
  std::vector<Index> combination(size);
  std::iota(combination.begin(), combination.end(), 0);
  do {
    place_.insert(place_.end(), combination.begin(), combination.end());
    begin_.push_back(std::ssize(place_));
  } while (advance(combination, slots_per_gpu));
  size_begin_.push_back(num());
}

SortedSubsets::SortedSubsets(const Node& node, const Subsets& subsets)
    : subsets_(&subsets),
      slots_per_gpu_(node.slots_per_gpu),
      size_(node.num_slots(), -1),
      sum_(node.num_gpus * subsets.num()),
      subset_(node.num_gpus * subsets.num()) {}

SortedSubsets::Order SortedSubsets::of(const Plan& plan, Index gpu) {
  const std::span<std::int64_t> sorted = std::span(size_).subspan(gpu * slots_per_gpu_,
                                                                  slots_per_gpu_);
  if (!std::ranges::equal(sorted, plan.sizes_on(gpu))) {
    std::ranges::copy(plan.sizes_on(gpu), sorted.begin());
    sort(gpu);
  }
  return {sum_.data() + gpu * subsets_->num(), subset_.data() + gpu * subsets_->num()};
}

void SortedSubsets::sort(Index gpu) {
  const std::int64_t* size = size_.data() + gpu * slots_per_gpu_;
  std::int64_t* sums = sum_.data() + gpu * subsets_->num();
  Index* order = subset_.data() + gpu * subsets_->num();
  std::vector<std::int64_t> sum(subsets_->num());
  for (Index subset = 0; subset < subsets_->num(); ++subset) {
    order[subset] = subset;
    for (const Index place : subsets_->places(subset)) sum[subset] += size[place];
  }
  for (Index i = 0; i < subsets_->num_sizes(); ++i) {
    std::sort(order + subsets_->size_begin(i), order + subsets_->size_begin(i + 1),
              [&](Index a, Index b) { return sum[a] != sum[b] ? sum[a] < sum[b] : a < b; });
  }
  for (Index i = 0; i < subsets_->num(); ++i) sums[i] = sum[order[i]];
}

Exchange best_exchange(const Plan& plan, const Subsets& subsets, SortedSubsets& sorted,
                       Index heavy) {
  return Search(plan, subsets, sorted, heavy).run();
}

void apply(const Exchange& exchange, Index heavy, const Subsets& subsets, Plan& plan) {
  const std::span<const Index> given = subsets.places(exchange.give);
  const std::span<const Index> taken = subsets.places(exchange.take);
  for (std::size_t i = 0; i < given.size(); ++i) {
    plan.swap(plan.first_slot(heavy) + given[i], plan.first_slot(exchange.other) + taken[i]);
  }
}

}  // namespace eplb::local
