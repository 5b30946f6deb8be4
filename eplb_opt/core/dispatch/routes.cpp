#include "dispatch/routes.hpp"

#include <algorithm>
#include <numeric>

namespace eplb::dispatch {

namespace {

// The slots of every expert, expert by expert: those of expert e are slot[begin[e]:begin[e + 1]].
struct SlotsByExpert {
  std::vector<std::int32_t> begin, slot;

  SlotsByExpert(std::span<const std::int64_t> placed, Index num_experts) : begin(num_experts + 1) {
    for (const std::int64_t expert : placed) {
      if (expert >= 0) ++begin[expert + 1];
    }
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    slot.resize(begin.back());
    std::vector<std::int32_t> next(begin.begin(), begin.end() - 1);
    for (Index p = 0; p < std::ssize(placed); ++p) {
      if (placed[p] >= 0) slot[next[placed[p]]++] = static_cast<std::int32_t>(p);
    }
  }

  std::span<const std::int32_t> of(Index expert) const {
    return std::span(slot).subspan(begin[expert], begin[expert + 1] - begin[expert]);
  }
};

class Tracer {
 public:
  Tracer(std::span<const std::int64_t> placed, Index num_experts, Index num_gpus)
      : slots_(placed, num_experts), slots_per_gpu_(std::ssize(placed) / num_gpus) {
    routes_.num_experts = num_experts;
    routes_.num_gpus = num_gpus;
    routes_.even.resize(placed.size());
  }

  LayerRoutes trace() {
    sort_experts();
    for (const std::int32_t expert : routes_.many) add_pairs(expert);
    routes_.first.push_back(static_cast<std::int32_t>(routes_.num_pairs()));
    list_by_gpu();
    return std::move(routes_);
  }

 private:
  std::int32_t host(std::int32_t slot) const {
    return static_cast<std::int32_t>(slot / slots_per_gpu_);
  }

  Index num_hosts(std::int32_t expert) const {
    Index num = 0;
    std::int32_t last = -1;
    for (const std::int32_t slot : slots_.of(expert)) {  // slots of a GPU follow each other
      num += host(slot) != last;
      last = host(slot);
    }
    return num;
  }

  void sort_experts() {
    std::vector<Index> hosts(routes_.num_experts);
    for (std::int32_t e = 0; e < routes_.num_experts; ++e) {
      const auto slots = slots_.of(e);
      for (const std::int32_t slot : slots) {
        routes_.even[slot] = 1.0 / static_cast<double>(slots.size());
      }
      hosts[e] = num_hosts(e);
      if (hosts[e] > 1) routes_.many.push_back(e);
      if (hosts[e] != 1) continue;
      routes_.alone.push_back(e);
      routes_.alone_gpu.push_back(host(slots[0]));
    }
    std::ranges::stable_sort(routes_.many, {}, [&](std::int32_t e) { return hosts[e]; });
    routes_.num_twins = std::ranges::count_if(
        routes_.many, [&](std::int32_t e) { return hosts[e] == 2; });
  }

  void add_pairs(std::int32_t expert) {
    const auto place = static_cast<std::int32_t>(routes_.first.size());
    routes_.first.push_back(static_cast<std::int32_t>(routes_.num_pairs()));
    double num_slots = 0.0;
    for (const std::int32_t slot : slots_.of(expert)) {
      if (num_slots == 0.0 || host(slot) != routes_.gpu.back()) {
        num_slots = 0.0;
        routes_.gpu.push_back(host(slot));
        routes_.owner.push_back(place);
        routes_.part.push_back(1.0);
      }
      routes_.part.back() = 1.0 / ++num_slots;
      routes_.slot.push_back(slot);
      routes_.slot_pair.push_back(static_cast<std::int32_t>(routes_.num_pairs() - 1));
    }
  }

  void list_by_gpu() {
    routes_.gpu_begin.assign(routes_.num_gpus + 1, 0);
    for (const std::int32_t g : routes_.gpu) ++routes_.gpu_begin[g + 1];
    std::partial_sum(routes_.gpu_begin.begin(), routes_.gpu_begin.end(), routes_.gpu_begin.begin());
    routes_.gpu_pair.resize(routes_.gpu.size());
    std::vector<std::int32_t> next(routes_.gpu_begin.begin(), routes_.gpu_begin.end() - 1);
    for (std::int32_t pair = 0; pair < routes_.num_pairs(); ++pair) {
      routes_.gpu_pair[next[routes_.gpu[pair]]++] = pair;
    }
  }

  SlotsByExpert slots_;
  Index slots_per_gpu_;
  LayerRoutes routes_;
};

}  // namespace

LayerRoutes LayerRoutes::trace(std::span<const std::int64_t> placed, Index num_experts,
                               Index num_gpus) {
  return Tracer(placed, num_experts, num_gpus).trace();
}

}  // namespace eplb::dispatch
