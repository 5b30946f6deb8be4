// The GPU that a replica loads least.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "common/views.hpp"

namespace eplb::rules {

// What GPUs with room hold, in blocks: most are passed over by what their lowest can be.
class OpenGpus {
 public:
  explicit OpenGpus(std::vector<double> slowness)
      : slowness_(std::move(slowness)),
        filled_(slowness_.size(), kFull),
        lowest_((slowness_.size() + kBlock - 1) / kBlock, kFull),
        fastest_(lowest_.size(), kFull) {
    for (Index gpu = 0; gpu < std::ssize(slowness_); ++gpu) {
      fastest_[gpu / kBlock] = std::min(fastest_[gpu / kBlock], slowness_[gpu]);
    }
  }

  void close(Index gpu) { set(gpu, kFull); }

  void set(Index gpu, double filled) {
    const double before = filled_[gpu] * slowness_[gpu], now = filled * slowness_[gpu];
    filled_[gpu] = filled;
    double& lowest = lowest_[gpu / kBlock];
    if (now <= lowest) {
      lowest = now;
    } else if (before <= lowest) {
      lowest = kFull;
      for (Index i = first_of(gpu / kBlock); i < end_of(gpu / kBlock); ++i) {
        lowest = std::min(lowest, filled_[i] * slowness_[i]);
      }
    }
  }

  // Of those that `accepts` lets in, one whose (filled + share) * slowness is least; or -1.
  template <typename Accepts>
  Index lightest(double share, const Accepts& accepts) const {
    double least = kFull;
    Index found = -1;
    const auto look_into = [&](Index block) {
      for (Index gpu = first_of(block); gpu < end_of(block); ++gpu) {
        const double level = (filled_[gpu] + share) * slowness_[gpu];
        if (level < least && accepts(gpu)) {
          least = level;
          found = gpu;
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
    return lowest_[block] + share * fastest_[block];
  }
  static Index first_of(Index block) { return block * kBlock; }
  Index end_of(Index block) const {
    return std::min(first_of(block) + kBlock, static_cast<Index>(filled_.size()));
  }

  std::vector<double> slowness_;
  std::vector<double> filled_;   // of GPUs, infinite where there is no room
  std::vector<double> lowest_;   // of blocks, the least of filled * slowness
  std::vector<double> fastest_;  // of blocks, the least slowness
};

}  // namespace eplb::rules
