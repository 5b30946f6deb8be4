// The GPU that a replica loads least.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "common/views.hpp"

namespace eplb::rules {

// What GPUs with room hold, in blocks of GPUs that are equally fast, or nearly so: most blocks are
// passed over by what their lowest GPU would come to.
class OpenGpus {
 public:
  explicit OpenGpus(const std::vector<double>& slowness)
      : gpu_at_(slowness.size()),
        place_of_(slowness.size()),
        filled_(slowness.size(), kFull),
        lowest_((slowness.size() + kBlock - 1) / kBlock, kFull),
        fastest_(lowest_.size(), kFull) {
    std::iota(gpu_at_.begin(), gpu_at_.end(), 0);
    std::ranges::stable_sort(gpu_at_, {}, [&](Index gpu) { return slowness[gpu]; });
    for (Index place = 0; place < std::ssize(gpu_at_); ++place) {
      const double slow = slowness[gpu_at_[place]];
      place_of_[gpu_at_[place]] = place;
      slowness_.push_back(slow);
      fastest_[place / kBlock] = std::min(fastest_[place / kBlock], slow);
    }
  }

  void close(Index gpu) { set(gpu, kFull); }

  void set(Index gpu, double filled) {
    const Index place = place_of_[gpu];
    const double before = std::exchange(filled_[place], filled);
    double& lowest = lowest_[place / kBlock];
    if (filled <= lowest) {
      lowest = filled;
    } else if (before <= lowest) {
      lowest = kFull;
      for (Index i = first_of(place / kBlock); i < end_of(place / kBlock); ++i) {
        lowest = std::min(lowest, filled_[i]);
      }
    }
  }

  // Of those that `accepts` lets in, one whose (filled + share) * slowness is least; or -1.
  template <typename Accepts>
  Index lightest(double share, const Accepts& accepts) const {
    double least = kFull;
    Index found = -1;
    const auto look_into = [&](Index block) {
      for (Index place = first_of(block); place < end_of(block); ++place) {
        const double level = (filled_[place] + share) * slowness_[place];
        if (level < least && accepts(gpu_at_[place])) {
          least = level;
          found = gpu_at_[place];
        }
      }
    };
    // The most promising block first: hardly any other is looked into then.
    Index best = 0;
    for (Index block = 1; block < std::ssize(lowest_); ++block) {
      if (at_least(block, share) < at_least(best, share)) best = block;
    }
    look_into(best);
    for (Index block = 0; block < std::ssize(lowest_); ++block) {
      if (block != best && at_least(block, share) < least) look_into(block);
    }
    return found;
  }

 private:
  static constexpr Index kBlock = 32;
  static constexpr double kFull = std::numeric_limits<double>::infinity();

  double at_least(Index block, double share) const {
    return (lowest_[block] + share) * fastest_[block];
  }
  static Index first_of(Index block) { return block * kBlock; }
  Index end_of(Index block) const {
    return std::min(first_of(block) + kBlock, static_cast<Index>(filled_.size()));
  }

  // By place: the fastest GPUs come first, equally fast ones in the order of their ids.
  std::vector<Index> gpu_at_, place_of_;
  std::vector<double> slowness_;
  std::vector<double> filled_;   // by place, infinite where there is no room
  std::vector<double> lowest_;   // of blocks, the least filled
  std::vector<double> fastest_;  // of blocks, the least slowness
};

}  // namespace eplb::rules
