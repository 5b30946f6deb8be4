#include "local/redeal.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

#include "common/lanes.hpp"

namespace eplb::local {

namespace {

constexpr Index kMaxSlots = Deals::kMaxSlots;

// Sizes are rounded down to what fits here with some sums of them, so that one vector instruction
// adds and compares eight.
using Coarse = std::uint32_t;
constexpr int kCoarseBits = 30;
constexpr Index kCoarseLanes = 8;
using CoarseLanes [[gnu::vector_size(kCoarseLanes * sizeof(Coarse))]] = Coarse;
constexpr CoarseLanes kNoneInAny = CoarseLanes{} + std::numeric_limits<Coarse>::max();

EPLB_INLINE CoarseLanes lanes_at(const Coarse* first) {
  CoarseLanes lanes;
  std::memcpy(&lanes, first, sizeof(lanes));
  return lanes;
}

// Sums of replicas by how many they are of, with the hands that they belong to.
class SumsBySize {
 public:
  void clear() { num_.fill(0); }
  void clear(Index size) { num_[size] = 0; }

  void add(Index size, Coarse sum, Hand hand) {
    sum_[size][num_[size]] = sum;
    hand_[size][num_[size]++] = static_cast<std::uint16_t>(hand);
  }

  // Each sum that is there once more with one replica, up to a size.
  void add_replica(Coarse replica, Hand bit, Index most) {
    for (Index size = most; size > 1; --size) {
      const Index num = num_[size - 1];
      for (Index i = 0; i < num; ++i) add(size, sum_[size - 1][i] + replica, hand_[size - 1][i] | bit);
    }
  }

  // What fills up the last lanes is there twice.
  void fill_lanes(Index most) {
    for (Index size = 1; size <= most; ++size) {
      std::fill_n(sum_[size].begin() + num_[size], kCoarseLanes, sum_[size][0]);
    }
  }

  std::span<const Coarse> sums(Index size) const {
    return {sum_[size].data(), static_cast<std::size_t>(num_[size])};
  }
  Hand hand(Index size, Index i) const { return hand_[size][i]; }

  // The least of each lane, once something is added to all sums of a size and wraps around.
  EPLB_INLINE CoarseLanes least(Index size, Coarse added) const {
    CoarseLanes least = kNoneInAny;
    for (Index i = 0; i < num_[size]; i += kCoarseLanes) {
      const CoarseLanes sums = lanes_at(sum_[size].data() + i) + added;
      least = sums < least ? sums : least;
    }
    return least;
  }

 private:
  static constexpr Index kMost = 126 + kCoarseLanes;  // ways to choose 4 of 9

  std::array<std::array<Coarse, kMost>, kMaxSlots + 1> sum_;
  std::array<std::array<std::uint16_t, kMost>, kMaxSlots + 1> hand_;
  std::array<Index, kMaxSlots + 1> num_;
};

// Deals the heaviest GPU's replicas out with those of two others.
//
// Two of the three loads bound the third. So the first GPU's new load has to lie between two bounds,
// which are close to each other when the loads are, and few ways to fill it do; only for those the
// ways to fill the second GPU are looked at.
class Dealer {
 public:
  Dealer(Plan& plan, const Deals& deals, Index heavy)
      : plan_(plan), deals_(deals), heavy_(heavy), k_(plan.node().slots_per_gpu) {
    const auto bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(3 * heaviest())));
    shift_ = std::max(bits - kCoarseBits, 0);
    part_.resize(plan.node().num_gpus << k_);
    for (Index gpu = 0; gpu < plan.node().num_gpus; ++gpu) add_up_parts(gpu);
  }

  // Deal with this GPU from now on.
  void take_second(Index gpu) {
    second_ = gpu;
    for (Index i = 0; i < k_; ++i) {
      slot_[i] = plan_.first_slot(heavy_) + i;
      slot_[k_ + i] = plan_.first_slot(gpu) + i;
    }
    sums_.clear();
    sums_.add(1, coarse(slot_[0]), 1);
    for (Index i = 1; i < 2 * k_; ++i) {
      if (i == k_) sums_.clear(k_);  // what the heaviest GPU holds now is no other deal
      sums_.add_replica(coarse(slot_[i]), Hand{1} << i, k_);
    }
    sums_.fill_lanes(k_);
  }

  // Whether a third GPU may help, seen on coarse sums; hardly ever it may and does not.
  EPLB_INLINE bool may_help(Index third) {
    if (total_with(third) >= 3 * heaviest()) return false;
    const Window window = window_of(third);
    const Coarse* part = part_.data() + (third << k_);
    CoarseLanes least = kNoneInAny;
    for (Hand hand = 0; hand < (Hand{1} << k_) - 1; ++hand) {
      const CoarseLanes sums = sums_.least(k_ - std::popcount(hand), part[hand] - window.lowest);
      std::memcpy(least_[hand].data(), &sums, sizeof(sums));
      least = sums < least ? sums : least;
    }
    bool any = false;
    for (Index lane = 0; lane < kCoarseLanes; ++lane) any |= least[lane] <= window.width;
    return any;
  }

  // Deal the replicas of the three out where that helps; returns whether it did. To be called when
  // the third GPU has just been found to be one that may help.
  bool deal_with(Index third) {
    for (Index i = 0; i < k_; ++i) slot_[2 * k_ + i] = plan_.first_slot(third) + i;
    total_ = total_with(third);
    best_ = heaviest();
    find_ways(third);
    for (const Hand way : ways_) {
      std::int64_t one = 0;
      for (Hand rest = way; rest; rest &= rest - 1) one += size(std::countr_zero(rest));
      if (leaves_chance(one)) deal_others(way, one);
    }
    if (best_ == heaviest()) return false;
    plan_.rearrange(std::span(best_deal_).first(3 * k_), std::span(slot_).first(3 * k_));
    return true;
  }

 private:
  using Slots = std::array<Index, 3 * kMaxSlots>;

  // Where the first GPU's coarse load has to lie; sums below wrap around to beyond the width.
  struct Window {
    Coarse lowest, width;
  };

  std::int64_t heaviest() const { return plan_.load(heavy_); }
  std::int64_t size(Index item) const { return plan_.size(slot_[item]); }
  Coarse coarse(Index slot) const { return static_cast<Coarse>(plan_.size(slot) >> shift_); }
  std::int64_t total_with(Index third) const {
    return heaviest() + plan_.load(second_) + plan_.load(third);
  }

  // The sums of all subsets of a GPU's replicas, each at its hand.
  void add_up_parts(Index gpu) {
    Coarse* part = part_.data() + (gpu << k_);
    part[0] = 0;
    for (Index i = 0; i < k_; ++i) {
      const Coarse replica = coarse(plan_.first_slot(gpu) + i);
      for (Hand hand = 0; hand < Hand{1} << i; ++hand) part[hand | Hand{1} << i] = part[hand] + replica;
    }
  }

  EPLB_INLINE Window window_of(Index third) const {
    const std::int64_t most = heaviest() - 1;
    // Rounding takes less than one from each replica.
    const std::int64_t lowest = ((total_with(third) - 2 * most) >> shift_) - k_;
    return {static_cast<Coarse>(lowest), static_cast<Coarse>((most >> shift_) - lowest)};
  }

  // The ways to fill the first GPU that lie in the window, in the order of the deals. `may_help` has
  // found where they are.
  void find_ways(Index third) {
    const Window window = window_of(third);
    const Coarse* part = part_.data() + (third << k_);
    ways_.clear();
    for (Hand hand = 0; hand < (Hand{1} << k_) - 1; ++hand) {
      const Index num = k_ - std::popcount(hand);
      const std::span<const Coarse> sums = sums_.sums(num);
      for (Index lane = 0; lane < kCoarseLanes; ++lane) {
        if (least_[hand][lane] > window.width) continue;
        for (Index i = lane; i < std::ssize(sums); i += kCoarseLanes) {
          if (sums[i] + part[hand] - window.lowest > window.width) continue;
          ways_.push_back(sums_.hand(num, i) | hand << (2 * k_));
        }
      }
    }
    std::ranges::sort(ways_, {}, [this](Hand way) { return deals_.rank(way); });
  }

  // Whether the other two may both be better than the best deal when the first GPU gets so much.
  bool leaves_chance(std::int64_t one) const {
    return one < best_ && total_ - one <= 2 * (best_ - 1);
  }

  // Deal what a way leaves over to the second and the third GPU.
  void deal_others(Hand way, std::int64_t one) {
    Slots dealt, rest;
    split(way, slot_, 3 * k_, dealt, rest);
    if (plan_.node().apart && has_twins(dealt.data())) return;
    const HalfSums low(plan_, rest.data(), k_), high(plan_, rest.data() + k_, k_);
    for (const Hand hand : deals_.of_two()) {
      const std::int64_t two = low.sum[hand & ((1U << k_) - 1)] + high.sum[hand >> k_];
      // All in one comparison: neither the second load nor the third is too much.
      const std::int64_t least = total_ - one - best_ + 1;
      if (static_cast<std::uint64_t>(two - least) >= static_cast<std::uint64_t>(best_ - least)) continue;
      Slots second, third;
      split(hand, rest, 2 * k_, second, third);
      if (plan_.node().apart && (has_twins(second.data()) || has_twins(third.data()))) continue;
      std::copy_n(second.begin(), k_, dealt.begin() + k_);
      std::copy_n(third.begin(), k_, dealt.begin() + 2 * k_);
      best_ = std::max({one, two, total_ - one - two});
      best_deal_ = dealt;
      if (!leaves_chance(one)) return;
    }
  }

  // The sums of all subsets of a few replicas, each at its hand.
  struct HalfSums {
    std::array<std::int64_t, 1 << kMaxSlots> sum;

    HalfSums(const Plan& plan, const Index* slots, Index num) {
      sum[0] = 0;
      for (Index i = 0; i < num; ++i) {
        const std::int64_t replica = plan.size(slots[i]);
        for (Hand hand = 0; hand < Hand{1} << i; ++hand) sum[hand | Hand{1} << i] = sum[hand] + replica;
      }
    }
  };

  // The items of a hand to `chosen`, the others to `rest`. Each is written to both, where the next one
  // takes the place of what does not belong there: no branch is guessed wrong.
  static void split(Hand hand, const Slots& items, Index num, Slots& chosen, Slots& rest) {
    Index num_chosen = 0;
    for (Index i = 0; i < num; ++i) {
      chosen[num_chosen] = items[i];
      rest[i - num_chosen] = items[i];
      num_chosen += hand >> i & 1;
    }
  }

  // Whether two of a GPU's slots hold the same expert.
  bool has_twins(const Index* slots) const {
    for (Index i = 0; i < k_; ++i) {
      for (Index j = 0; j < i; ++j) {
        if (plan_.expert(slots[i]) == plan_.expert(slots[j])) return true;
      }
    }
    return false;
  }

  Plan& plan_;
  const Deals& deals_;
  Index heavy_, second_ = 0, k_;
  int shift_;
  std::vector<Coarse> part_;
  // The least of each lane of sums with the third GPU's hands.
  std::array<std::array<Coarse, kCoarseLanes>, 1 << kMaxSlots> least_;
  SumsBySize sums_;  // of the heaviest and the second GPU, the first replica among them
  std::vector<Hand> ways_;
  Slots slot_, best_deal_;  // of the three GPUs, and which of them go there in the best deal
  std::int64_t total_ = 0, best_ = 0;
};

// The threes of GPUs in the order in which they are looked at.
struct Threes {
  Dealer& dealer;
  Index heavy, num_gpus, offset;
  Index second = 0, third = 0;  // positions from the offset on

  Index gpu(Index position) const { return (position + offset) % num_gpus; }

  // On to the next third GPU that may help, if any before the second one does.
  EPLB_INLINE void run() {
    for (; third < second; ++third) {
      if (gpu(third) != heavy && dealer.may_help(gpu(third))) return;
    }
  }
};

}  // namespace

bool redeal(Plan& plan, const Deals& deals, Index heavy, Index second, Index third) {
  if (deals.is_empty()) return false;
  Dealer dealer(plan, deals, heavy);
  dealer.take_second(second);
  return dealer.may_help(third) && dealer.deal_with(third);
}

bool redeal_any(Plan& plan, const Deals& deals, Index heavy, Random& random) {
  const Index num_gpus = plan.node().num_gpus;
  Dealer dealer(plan, deals, heavy);
  Threes threes{dealer, heavy, num_gpus, random.draw(num_gpus)};
  for (threes.second = 0; threes.second < num_gpus; ++threes.second) {
    if (threes.gpu(threes.second) == heavy) continue;
    dealer.take_second(threes.gpu(threes.second));
    threes.third = 0;
    for (with_widest_vectors(threes); threes.third < threes.second; with_widest_vectors(threes)) {
      if (dealer.deal_with(threes.gpu(threes.third))) return true;
      ++threes.third;
    }
  }
  return false;
}

}  // namespace eplb::local
