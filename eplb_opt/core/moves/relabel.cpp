#include "moves/relabel.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "moves/assignment.hpp"

namespace eplb::moves {

namespace {

// Slots of each new GPU whose expert an old one has, by new GPU.
class Overlaps {
 public:
  Overlaps(std::span<const std::int64_t> current, const Shape& shape)
      : slots_(std::ssize(current) / shape.num_gpus),
        holders_(shape.num_experts),
        worth_(shape.num_gpus) {
    for (Index slot = 0; slot < std::ssize(current); ++slot) {
      if (current[slot] < 0) continue;
      auto& gpus = holders_[current[slot]];
      if (gpus.empty() || gpus.back() != slot / slots_) gpus.push_back(slot / slots_);
    }
  }

  // With the old GPUs from `first` to before `last`, which are counted from 0.
  std::vector<Worth> of(std::span<const std::int64_t> gpu, Index first, Index last) {
    std::vector<Index> seen;
    for (const std::int64_t expert : gpu) {
      if (expert < 0) continue;
      const auto& gpus = holders_[expert];
      for (auto at = std::ranges::lower_bound(gpus, first); at != gpus.end() && *at < last; ++at) {
        if (worth_[*at]++ == 0) seen.push_back(*at);
      }
    }
    std::ranges::sort(seen);
    std::vector<Worth> row;
    for (const Index old : seen) row.push_back({old - first, std::exchange(worth_[old], 0)});
    return row;
  }

  // Slots whose expert one of the old GPUs from `first` to before `last` has.
  std::int64_t num_within(std::span<const std::int64_t> slots, Index first, Index last) const {
    return std::ranges::count_if(slots, [&](std::int64_t expert) {
      if (expert < 0) return false;
      const auto at = std::ranges::lower_bound(holders_[expert], first);
      return at != holders_[expert].end() && *at < last;
    });
  }

 private:
  Index slots_;
  std::vector<std::vector<Index>> holders_;  // of each expert, ascending
  std::vector<std::int64_t> worth_;
};

std::int64_t total_worth(const std::vector<std::vector<Worth>>& rows,
                         const std::vector<Index>& columns) {
  std::int64_t total = 0;
  for (Index row = 0; row < std::ssize(rows); ++row) {
    for (const Worth& worth : rows[row]) {
      if (worth.column == columns[row]) total += worth.value;
    }
  }
  return total;
}

}  // namespace

void relabel(std::span<const std::int64_t> current, std::span<const std::int64_t> fresh,
             const Shape& shape, std::span<std::int64_t> placed) {
  const Index slots = std::ssize(current) / shape.num_gpus;
  const Index size = shape.num_gpus / shape.num_nodes;
  Overlaps overlaps(current, shape);
  std::vector<std::vector<Worth>> of_nodes(shape.num_nodes);
  std::vector<std::vector<Index>> names(shape.num_nodes * shape.num_nodes);
  std::vector<std::vector<Worth>> rows(size);
  for (Index node = 0; node < shape.num_nodes; ++node) {
    for (Index old = 0; old < shape.num_nodes; ++old) {
      for (Index i = 0; i < size; ++i) {
        const auto gpu = fresh.subspan((node * size + i) * slots, slots);
        rows[i] = overlaps.of(gpu, old * size, (old + 1) * size);
      }
      auto& name = names[node * shape.num_nodes + old] = best_assignment(rows);
      std::int64_t worth = total_worth(rows, name);
      if (shape.far_price > 1) {
        const auto all = fresh.subspan(node * size * slots, size * slots);
        worth += (shape.far_price - 1) * overlaps.num_within(all, old * size, (old + 1) * size);
      }
      if (worth > 0) of_nodes[node].push_back({old, worth});
    }
  }
  const std::vector<Index> old_of = best_assignment(of_nodes);
  std::vector<std::int64_t> named(fresh.size());
  for (Index node = 0; node < shape.num_nodes; ++node) {
    const Index old = old_of[node];
    for (Index i = 0; i < size; ++i) {
      const Index gpu = old * size + names[node * shape.num_nodes + old][i];
      std::ranges::copy(fresh.subspan((node * size + i) * slots, slots),
                        named.begin() + gpu * slots);
    }
  }
  keep_slots(current, named, shape, placed);
}

void keep_slots(std::span<const std::int64_t> current, std::span<const std::int64_t> fresh,
                const Shape& shape, std::span<std::int64_t> placed) {
  const Index slots = std::ssize(current) / shape.num_gpus;
  // Of each expert, and of the empty slot, what the GPU at hand wants, and what it has where it was.
  std::vector<Index> wanted(shape.num_experts + 1), kept(shape.num_experts + 1);
  std::vector<Index> open;
  for (Index first = 0; first < std::ssize(current); first += slots) {
    open.clear();
    for (Index slot = first; slot < first + slots; ++slot) ++wanted[fresh[slot] + 1];
    for (Index slot = first; slot < first + slots; ++slot) {
      const Index held = current[slot] + 1;
      if (kept[held] == wanted[held]) {
        open.push_back(slot);
      } else {
        ++kept[held];
        placed[slot] = current[slot];
      }
    }
    auto next = open.begin();
    for (Index slot = first; slot < first + slots; ++slot) {
      const Index expert = fresh[slot] + 1;
      wanted[expert] = 0;
      if (kept[expert] > 0) {
        --kept[expert];
      } else {
        placed[*next++] = fresh[slot];
      }
    }
  }
}

}  // namespace eplb::moves
