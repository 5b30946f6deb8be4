// A layer's first plan where GPUs have two slots: pairs that are level, and as much at home as they
// allow.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "serving/locality.hpp"

namespace eplb::serving {

// With two slots a GPU the largest load is that of a pair, and no plan of given replicas is below the
// largest sum of the i-th largest and the i-th smallest. Replicas are chosen for that, homes aside;
// then the larger half of them, the largest first, go home while there are GPUs, and the others, the
// largest first, to a GPU at home where they fit below that sum. There is always one that they fit:
// what fits a larger one fits a smaller one, too.
//
// It serves one layer after the other. Loads are float32 in mean GPU loads, in one order.
class NodePairs {
 public:
  explicit NodePairs(const Locality& locality);

  // `weight` are the experts' loads in fixed point, `homes` the groups' nodes; writes the experts of
  // the slots, GPU after GPU.
  void plan(std::span<const std::int64_t> weight, std::span<const Index> homes,
            std::span<std::int64_t> placed);

 private:
  // A size, and an expert or a place; as one number, which is ordered as the sizes are, and of equals
  // has the first last.
  class Replica {
   public:
    Replica() = default;
    Replica(float size, Index which)
        : bits_((std::uint64_t{std::bit_cast<std::uint32_t>(size)} << 32) |
                (kLow - static_cast<std::uint64_t>(which))) {}

    float size() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits_ >> 32)); }
    Index which() const { return static_cast<Index>(kLow - (bits_ & kLow)); }
    bool operator>(const Replica& other) const { return bits_ > other.bits_; }

   private:
    static constexpr std::uint64_t kLow = 0xFFFFFFFF;
    std::uint64_t bits_ = 0;
  };

  void sort_experts(std::span<const std::int64_t> weight);
  float replicate(float near, std::vector<Replica>& replicas);
  void place_large(std::span<const Index> homes, std::span<std::int64_t> placed);
  void place_small(std::span<const Index> homes, std::span<std::int64_t> placed);
  void hold(const Replica& large, Index node, std::span<std::int64_t> placed);
  Index roomiest(float size) const;
  Index home_of(const Replica& replica, std::span<const Index> homes) const {
    return homes[grid_.group[replica.which()]];
  }

  const Locality locality_;
  const Grid grid_;
  std::vector<Replica> experts_, found_, best_, split_;  // the largest first
  std::vector<float> size_;                              // of the largest experts' replicas
  std::vector<std::int32_t> count_;
  float largest_ = 0.0F;                 // of pairs
  const Index width_;                    // of a node's row
  std::vector<float> open_;              // of nodes' GPUs: the larger replica; kHuge where they are full
  std::vector<Index> num_, free_;        // of nodes: GPUs with a replica; with a free slot
  std::vector<Index> wanted_;            // of nodes: smaller replicas at home that are still to come
  std::vector<float> least_;             // of nodes: the least load of a GPU with a free slot
};

}  // namespace eplb::serving
