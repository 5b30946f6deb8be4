#include "local/subsets.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

namespace eplb::local {

namespace {

// More subsets a GPU than this cost more to keep sorted than they bring.
constexpr Index kMaxSubsets = 260;
constexpr int kCoarseBits = 29;

// Binomial coefficient, or something above `most` where it is larger.
Index num_combinations(Index num, Index size, Index most) {
  Index combinations = 1;
  for (Index i = 0; i < size && combinations <= most; ++i) {
    combinations = combinations * (num - i) / (i + 1);
  }
  return combinations;
}

// Where the subsets of each size begin among all of a GPU, and the end.
std::vector<Index> begin_of_sizes(Index slots_per_gpu) {
  std::vector<Index> begin = {0, slots_per_gpu};
  for (Index size = 2; size <= std::min(slots_per_gpu / 2, Places::kMost); ++size) {
    const Index end = begin.back() + num_combinations(slots_per_gpu, size, kMaxSubsets);
    if (end > kMaxSubsets) break;
    begin.push_back(end);
  }
  return begin;
}

int bits_to_cut(const Node& node) {
  const std::int64_t total = std::accumulate(node.weight.begin(), node.weight.end(), std::int64_t{0});
  const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(total)));
  return std::max(bits - kCoarseBits, 0);
}

// The subsets of one size while they are put in order.
struct Growing {
  std::int64_t* sum;
  Places* places;
  Index num;

  // Merge in, from the end on, other subsets with one more replica, which stands before all others.
  void take_in(const Growing& smaller, std::int64_t replica, Index place) {
    Index mine = num - 1, theirs = smaller.num - 1;
    num += smaller.num;
    for (; mine >= 0 && theirs >= 0;) {
      const std::int64_t kept = sum[mine], added = smaller.sum[theirs] + replica;
      const Places kept_places = places[mine], added_places = smaller.places[theirs].with(place);
      const Index last = mine + theirs + 1;
      const bool keeps = kept >= added;
      sum[last] = keeps ? kept : added;
      places[last] = keeps ? kept_places : added_places;
      mine -= keeps;
      theirs -= !keeps;
    }
    for (; theirs >= 0; --theirs) {
      sum[theirs] = smaller.sum[theirs] + replica;
      places[theirs] = smaller.places[theirs].with(place);
    }
  }
};

}  // namespace

SortedSubsets::SortedSubsets(const Node& node)
    : slots_per_gpu_(node.slots_per_gpu),
      coarse_bits_(bits_to_cut(node)),
      begin_(begin_of_sizes(node.slots_per_gpu)),
      coarse_begin_{0},
      size_(node.num_slots(), -1),
      sum_(node.num_gpus * begin_.back()),
      is_stale_(node.num_gpus, true),
      places_(sum_.size()) {
  for (Index i = 0; i < num_sizes(); ++i) {
    const Index blocks = (begin_[i + 1] - begin_[i] + kCoarseLanes - 1) / kCoarseLanes;
    coarse_begin_.push_back(coarse_begin_.back() + blocks * kCoarseLanes);
    most_lanes_ = std::max(most_lanes_, blocks * kCoarseLanes);
  }
  coarse_.resize(node.num_gpus * coarse_begin_.back());
}

void SortedSubsets::notice(Plan& plan) {
  for (const Index gpu : plan.changed_gpus()) is_stale_[gpu] = true;
  plan.forget_changes();
}

void SortedSubsets::refresh(const Plan& plan, Index gpu) {
  is_stale_[gpu] = false;
  const auto known = std::span(size_).subspan(gpu * slots_per_gpu_, slots_per_gpu_);
  if (std::ranges::equal(known, plan.sizes_on(gpu))) return;
  std::ranges::copy(plan.sizes_on(gpu), known.begin());
  sort(gpu);
  round_down(gpu);
}

// From the last replica to the first, each joins all subsets of those after it. Merging keeps them in
// order; of equal sums those with the earlier replica come first.
void SortedSubsets::sort(Index gpu) {
  std::array<Growing, Places::kMost> lists;
  for (Index i = 0; i < num_sizes(); ++i) {
    const Index first = gpu * begin_.back() + begin_[i];
    lists[i] = {sum_.data() + first, places_.data() + first, 0};
  }
  std::int64_t nothing = 0;
  Places nowhere;
  const Growing empty{&nothing, &nowhere, 1};
  for (Index place = slots_per_gpu_ - 1; place >= 0; --place) {
    const std::int64_t replica = size_[gpu * slots_per_gpu_ + place];
    for (Index i = num_sizes() - 1; i >= 0; --i) {
      lists[i].take_in(i > 0 ? lists[i - 1] : empty, replica, place);
    }
  }
}

void SortedSubsets::round_down(Index gpu) {
  for (Index i = 0; i < num_sizes(); ++i) {
    const SubsetOrder exact = order(gpu, i);
    Coarse* coarse = coarse_.data() + gpu * coarse_begin_.back();
    const auto cut = [this](std::int64_t sum) { return static_cast<Coarse>(sum >> coarse_bits_); };
    Coarse* end = std::transform(exact.sums.begin(), exact.sums.end(), coarse + coarse_begin_[i], cut);
    std::fill(end, coarse + coarse_begin_[i + 1], cut(exact.sums.back()));
  }
}

}  // namespace eplb::local
