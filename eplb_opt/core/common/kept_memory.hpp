// Memory that a thread keeps between calls.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/views.hpp"

namespace eplb {

// A block of numbers with any content. Fresh megabytes come from the system page by page, which
// takes longer than filling them: so what a block held goes back to its thread, not to the system.
class KeptMemory {
 public:
  explicit KeptMemory(Index size) : block_(taken(size)) {}
  KeptMemory(KeptMemory&& other) noexcept : block_(std::exchange(other.block_, {})) {}
  KeptMemory& operator=(KeptMemory&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~KeptMemory() {
    std::vector<Block>& kept = blocks();
    // Room for it has been reserved: nothing is thrown here.
    if (block_.size > 0 && block_.size <= kLargest && kept.size() < kMost) {
      kept.push_back(std::move(block_));
    }
  }

  std::int64_t* data() const { return block_.memory.get(); }

 private:
  struct Block {
    Index size = 0;
    std::unique_ptr<std::int64_t[]> memory;
  };
  static constexpr std::size_t kMost = 4;          // blocks of a thread
  static constexpr Index kLargest = Index{1} << 22;  // numbers of a block that is kept

  static std::vector<Block>& blocks() {
    thread_local std::vector<Block> kept;
    kept.reserve(kMost);
    return kept;
  }

  static Block taken(Index size) {
    std::vector<Block>& kept = blocks();
    for (Block& block : kept) {
      if (block.size < size) continue;
      std::swap(block, kept.back());
      Block found = std::move(kept.back());
      kept.pop_back();
      return found;
    }
    if (kept.size() == kMost) kept.pop_back();
    return {size, std::make_unique_for_overwrite<std::int64_t[]>(size)};
  }

  Block block_;
};

}  // namespace eplb
