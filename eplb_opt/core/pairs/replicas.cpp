#include "pairs/replicas.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace eplb::pairs {

namespace {

Index sum(std::span<const std::int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), Index{0});
}

// The expert whose replicas are the lightest after one was taken off.
Index lightest_after_loss(std::span<const double> load, std::span<const std::int64_t> counts) {
  double least = std::numeric_limits<double>::infinity();
  Index chosen = 0;
  for (Index expert = 0; expert < std::ssize(load); ++expert) {
    if (counts[expert] < 2) continue;
    const double share = load[expert] / static_cast<double>(counts[expert] - 1);
    if (share < least) least = share, chosen = expert;
  }
  return chosen;
}

Index heaviest(std::span<const double> load, std::span<const std::int64_t> counts) {
  double most = -1.0;
  Index chosen = 0;
  for (Index expert = 0; expert < std::ssize(load); ++expert) {
    const double share = load[expert] / static_cast<double>(counts[expert]);
    if (share > most) most = share, chosen = expert;
  }
  return chosen;
}

}  // namespace

void refill(std::span<const double> load, std::span<std::int64_t> counts, Index num_slots) {
  Index surplus = sum(counts) - num_slots;
  for (; surplus > 0; --surplus) --counts[lightest_after_loss(load, counts)];
  for (; surplus < 0; ++surplus) ++counts[heaviest(load, counts)];
}

SortedReplicas::SortedReplicas(std::span<const double> load, Index num_slots)
    : load_(load),
      num_slots_(num_slots),
      order_(load.size()),
      begin_(load.size()),
      share_(load.size()),
      moved_(num_slots) {}

void SortedReplicas::sort(std::span<const std::int64_t> counts) {
  counts_ = counts;
  for (std::size_t e = 0; e < load_.size(); ++e) {
    share_[e] = load_[e] / static_cast<double>(counts[e]);
  }
  std::iota(order_.begin(), order_.end(), Index{0});
  std::ranges::sort(order_, [this](Index a, Index b) {
    return share_[a] != share_[b] ? share_[a] < share_[b] : a < b;
  });
  sorted_.clear();
  for (const Index expert : order_) {
    begin_[expert] = std::ssize(sorted_);
    sorted_.insert(sorted_.end(), counts[expert], share_[expert]);
  }
}

Worth SortedReplicas::rate(Move move, double level) {
  take_out(move);
  const Run given = run_after(move.giver, -1), taken = run_after(move.taker, 1);
  if (given.share < taken.share) {
    put_in(given, taken);
  } else {
    put_in(taken, given);
  }
  Worth worth{0.0, 0.0};
  for (Index light = 0, heavy = num_slots_ - 1; light < num_slots_ / 2; ++light, --heavy) {
    const double pair = moved_[light] + moved_[heavy];
    worth.largest = std::max(worth.largest, pair);
    if (pair > level) worth.above += pair - level;
  }
  return worth;
}

// All replicas but those of the two experts.
void SortedReplicas::take_out(Move move) {
  Index first = move.giver, second = move.taker;
  if (first < 0 || (second >= 0 && begin_[second] < begin_[first])) std::swap(first, second);
  rest_.clear();
  auto from = sorted_.begin();
  for (const Index expert : {first, second}) {
    if (expert < 0) continue;
    rest_.insert(rest_.end(), from, sorted_.begin() + begin_[expert]);
    from = sorted_.begin() + begin_[expert] + counts_[expert];
  }
  rest_.insert(rest_.end(), from, sorted_.end());
}

SortedReplicas::Run SortedReplicas::run_after(Index expert, Index change) const {
  if (expert < 0) return {};
  const Index count = counts_[expert] + change;
  return {load_[expert] / static_cast<double>(count), count};
}

// From the heaviest down, into as many slots as there are.
void SortedReplicas::put_in(Run lighter, Run heavier) {
  auto room = moved_.end();
  const auto fill_down = [&](auto begin, auto end) {
    const Index taken = std::min<Index>(end - begin, room - moved_.begin());
    room = std::copy_backward(end - taken, end, room);
  };
  const auto fill_run = [&](Run run) {
    const Index taken = std::min<Index>(run.size, room - moved_.begin());
    std::fill(room - taken, room, run.share);
    room -= taken;
  };
  const auto middle = std::ranges::lower_bound(rest_, heavier.share);
  const auto low = std::lower_bound(rest_.begin(), middle, lighter.share);
  fill_down(middle, rest_.end());
  fill_run(heavier);
  fill_down(low, middle);
  fill_run(lighter);
  fill_down(rest_.begin(), low);
  std::fill(moved_.begin(), room, 0.0);
}

}  // namespace eplb::pairs
