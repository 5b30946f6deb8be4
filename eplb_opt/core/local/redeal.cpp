#include "local/redeal.hpp"

#include <algorithm>
#include <numeric>

namespace eplb::local {

namespace {

// With more slots a GPU the subsets of three GPUs are too many, and exchanges do as well.
constexpr Index kMaxSlots = 5;

using Way = std::vector<Index>;

// All subsets of 0 .. num - 1 of a size, each one exchange away from its neighbours.
std::vector<Way> revolving_door(Index num, Index size) {
  if (size == 0) return {{}};
  if (size == num) {
    Way all(num);
    std::iota(all.begin(), all.end(), 0);
    return {all};
  }
  std::vector<Way> ways = revolving_door(num - 1, size);
  std::vector<Way> with_last = revolving_door(num - 1, size - 1);
  std::ranges::reverse(with_last);
  for (Way& way : with_last) {
    way.push_back(num - 1);
    ways.push_back(std::move(way));
  }
  return ways;
}

// The item of an ascending way that another one lacks.
Index lacking(std::span<const Index> way, std::span<const Index> other) {
  return *std::ranges::find_if(way, [&](Index item) { return !std::ranges::binary_search(other, item); });
}

// The replicas of three GPUs while they are dealt out.
class Table {
 public:
  Table(const Plan& plan, const Deals& deals, const ThreeGpus& gpus)
      : plan_(plan), deals_(deals), k_(deals.slots_per_gpu) {
    for (const Index gpu : gpus) {
      for (Index slot = plan.first_slot(gpu); slot < plan.first_slot(gpu + 1); ++slot) {
        slot_[num_++] = slot;
      }
      total_ += plan.load(gpu);
      best_ = std::max(best_, plan.load(gpu));
    }
  }

  // Two of the three loads bound the third, so few of the first GPU's ways leave a chance to the
  // other two; only for those the second GPU's ways are looked at.
  bool find_better() {
    std::int64_t one = 0;
    for (Index i = 0; i < k_; ++i) one += plan_.size(slot_[deals_.of_three[i]]);
    for (Index way = 0; way < deals_.num_of_three(); ++way) {
      one += plan_.size(slot_[deals_.entering[way]]) - plan_.size(slot_[deals_.leaving[way]]);
      if (one < best_ && total_ - one <= 2 * (best_ - 1)) deal_first(way, one);
    }
    return found_;
  }

  std::span<const Index> slots() const { return std::span(slot_).first(num_); }
  std::span<const Index> best_deal() const { return std::span(best_deal_).first(num_); }

 private:
  static constexpr Index kMost = 3 * kMaxSlots;

  void deal_first(Index way, std::int64_t one) {
    std::array<Index, kMost> rest;
    split(slots(), std::span(deals_.of_three).subspan(way * k_, k_), dealt_.data(), rest.data());
    if (plan_.node().apart && has_twins(0)) return;
    const std::span<const Index> others = std::span(rest).first(2 * k_);
    for (Index second = 0; second < std::ssize(deals_.of_two); second += k_) {
      const std::span<const Index> chosen = std::span(deals_.of_two).subspan(second, k_);
      std::int64_t two = 0;
      for (const Index item : chosen) two += plan_.size(others[item]);
      const std::int64_t largest = std::max({one, two, total_ - one - two});
      if (largest >= best_) continue;
      split(others, chosen, dealt_.data() + k_, dealt_.data() + 2 * k_);
      if (plan_.node().apart && (has_twins(k_) || has_twins(2 * k_))) continue;
      best_ = largest;
      best_deal_ = dealt_;
      found_ = true;
    }
  }

  // The items at ascending positions to `chosen`, the others to `rest`.
  static void split(std::span<const Index> items, std::span<const Index> positions, Index* chosen,
                    Index* rest) {
    auto next = positions.begin();
    for (Index i = 0; i < std::ssize(items); ++i) {
      if (next != positions.end() && *next == i) {
        *chosen++ = items[i];
        ++next;
      } else {
        *rest++ = items[i];
      }
    }
  }

  // Whether two of the slots dealt to the GPU from `first` on hold the same expert.
  bool has_twins(Index first) const {
    for (Index i = first; i < first + k_; ++i) {
      for (Index j = first; j < i; ++j) {
        if (plan_.expert(dealt_[i]) == plan_.expert(dealt_[j])) return true;
      }
    }
    return false;
  }

  const Plan& plan_;
  const Deals& deals_;
  Index k_, num_ = 0;
  std::array<Index, kMost> slot_, dealt_, best_deal_;
  std::int64_t total_ = 0, best_ = 0;
  bool found_ = false;
};

}  // namespace

Deals::Deals(Index k) : slots_per_gpu(k) {
  if (k < 2 || k > kMaxSlots) return;
  Way previous;
  for (const Way& others : revolving_door(3 * k - 1, k - 1)) {
    Way way = {0};
    for (const Index item : others) way.push_back(item + 1);
    leaving.push_back(previous.empty() ? 0 : lacking(previous, way));
    entering.push_back(previous.empty() ? 0 : lacking(way, previous));
    of_three.insert(of_three.end(), way.begin(), way.end());
    previous = way;
  }
  for (Way others = revolving_door(k - 1, k - 1)[0];;) {
    of_two.push_back(0);
    for (const Index item : others) of_two.push_back(item + 1);
    Index i = k - 2;
    while (i >= 0 && others[i] == k + i) --i;
    if (i < 0) break;
    std::iota(others.begin() + i, others.end(), others[i] + 1);
  }
}

const Deals& Deals::of(Index slots_per_gpu) {
  static const std::array<Deals, kMaxSlots + 2> all = {Deals(0), Deals(1), Deals(2), Deals(3),
                                                       Deals(4), Deals(5), Deals(6)};
  return all[std::min(slots_per_gpu, kMaxSlots + 1)];
}

bool redeal(Plan& plan, const Deals& deals, const ThreeGpus& gpus) {
  if (deals.num_of_three() == 0) return false;
  Table table(plan, deals, gpus);
  const bool found = table.find_better();
  if (found) plan.rearrange(table.best_deal(), table.slots());
  return found;
}

bool redeal_any(Plan& plan, const Deals& deals, Index heavy, Random& random) {
  const Index num_gpus = plan.node().num_gpus;
  const Index offset = random.draw(num_gpus);
  for (Index i = 0; i < num_gpus; ++i) {
    const Index g = (i + offset) % num_gpus;
    for (Index j = 0; j < i; ++j) {
      const Index h = (j + offset) % num_gpus;
      if (g == heavy || h == heavy) continue;
      if (plan.load(heavy) + plan.load(g) + plan.load(h) >= 3 * plan.load(heavy)) continue;
      if (redeal(plan, deals, {heavy, g, h})) return true;
    }
  }
  return false;
}

}  // namespace eplb::local
