#include "scoring/network.hpp"

#include <algorithm>
#include <functional>
#include <limits>

namespace eplb::scoring {

namespace {

constexpr std::int32_t kUnreached = std::numeric_limits<std::int32_t>::max();

}  // namespace

Network::Network(std::span<const std::int64_t> loads, std::span<const std::int64_t> placed,
                 Index num_gpus)
    : load(loads), fixed(num_gpus), first_edge(loads.size() + 1), first_of_gpu(num_gpus + 1) {
  const Index slots = std::ssize(placed) / num_gpus;
  std::vector<Index> last_gpu(loads.size(), -1);
  // Twice over the slots: to count, then to fill in; GPUs ascend, so an expert's copies on one GPU
  // follow each other.
  for (Index slot = 0; slot < std::ssize(placed); ++slot) {
    const Index expert = placed[slot], gpu = slot / slots;
    if (expert < 0 || last_gpu[expert] == gpu) continue;
    last_gpu[expert] = gpu;
    ++first_edge[expert + 1];
    ++first_of_gpu[gpu + 1];
  }
  for (Index e = 0; e < num_experts(); ++e) first_edge[e + 1] += first_edge[e];
  for (Index g = 0; g < num_gpus; ++g) first_of_gpu[g + 1] += first_of_gpu[g];
  gpu_of_edge.resize(first_edge.back());
  expert_of_edge.resize(first_edge.back());
  edges_of_gpu.resize(first_edge.back());
  std::vector<Index> next(first_edge.begin(), first_edge.end() - 1);
  std::vector<Index> next_of_gpu(first_of_gpu.begin(), first_of_gpu.end() - 1);
  std::ranges::fill(last_gpu, -1);
  for (Index slot = 0; slot < std::ssize(placed); ++slot) {
    const Index expert = placed[slot], gpu = slot / slots;
    if (expert < 0 || last_gpu[expert] == gpu) continue;
    last_gpu[expert] = gpu;
    const Index edge = next[expert]++;
    gpu_of_edge[edge] = static_cast<std::int32_t>(gpu);
    expert_of_edge[edge] = static_cast<std::int32_t>(expert);
    edges_of_gpu[next_of_gpu[gpu]++] = static_cast<std::int32_t>(edge);
  }
  for (Index e = 0; e < num_experts(); ++e) {
    if (load[e] > 0 && !is_free(e)) fixed[gpu_of_edge[first_edge[e]]] += load[e];
  }
}

Flow::Flow(const Network& network, std::span<const std::int64_t> rate, const Ratio& level)
    : network_(network),
      room_(network.num_gpus()),
      left_(network.num_experts()),
      sent_(network.gpu_of_edge.size()),
      depth_of_gpu_(network.num_gpus()),
      depth_of_expert_(network.num_experts()),
      next_edge_(network.num_experts()),
      next_back_(network.num_gpus()) {
  for (Index g = 0; g < network.num_gpus(); ++g) {
    room_[g] = static_cast<Wide>(level.tokens) * rate[g] - network.fixed[g] * level.rate;
  }
  for (Index e = 0; e < network.num_experts(); ++e) {
    if (network.is_free(e)) left_[e] = network.load[e] * level.rate;
  }
}

bool Flow::is_short(std::span<bool> cut) {
  send_directly();
  while (find_distances()) {
    std::ranges::copy(std::span(network_.first_edge).first(next_edge_.size()), next_edge_.begin());
    std::ranges::copy(std::span(network_.first_of_gpu).first(next_back_.size()),
                      next_back_.begin());
    for (Index e = 0; e < network_.num_experts(); ++e) {
      if (left_[e] > 0) augment_from(e);
    }
  }
  bool is_short = false;
  for (const Wide left : left_) is_short |= left > 0;
  if (is_short) {
    for (Index g = 0; g < network_.num_gpus(); ++g) cut[g] = depth_of_gpu_[g] != kUnreached;
  }
  return is_short;
}

void Flow::send_directly() {
  std::vector<Index> edges;
  for (Index e = 0; e < network_.num_experts(); ++e) {
    if (left_[e] == 0) continue;
    edges.clear();
    for (Index i = network_.first_edge[e]; i < network_.first_edge[e + 1]; ++i) edges.push_back(i);
    std::ranges::stable_sort(edges, std::greater(),
                             [this](Index i) { return room_[gpu_of(i)]; });
    for (const Index edge : edges) {
      const Wide tokens = std::min(left_[e], room_[gpu_of(edge)]);
      sent_[edge] += tokens;
      room_[gpu_of(edge)] -= tokens;
      left_[e] -= tokens;
    }
  }
}

// Breadth-first from the experts with tokens left; true where a GPU with room is reached. It ends
// with the distance at which the first one is.
bool Flow::find_distances() {
  std::ranges::fill(depth_of_gpu_, kUnreached);
  std::ranges::fill(depth_of_expert_, kUnreached);
  queue_.clear();
  for (Index e = 0; e < network_.num_experts(); ++e) {
    if (left_[e] == 0) continue;
    depth_of_expert_[e] = 0;
    queue_.push_back(e);
  }
  std::int32_t nearest = kUnreached;
  for (Index at = 0; at < std::ssize(queue_); ++at) {
    const Index expert = queue_[at];
    const std::int32_t depth = depth_of_expert_[expert] + 1;
    if (depth > nearest) break;
    for (const std::int32_t gpu : network_.hosts(expert)) {
      if (depth_of_gpu_[gpu] != kUnreached) continue;
      depth_of_gpu_[gpu] = depth;
      if (room_[gpu] > 0) nearest = depth;
      for (Index i = network_.first_of_gpu[gpu]; i < network_.first_of_gpu[gpu + 1]; ++i) {
        const Index edge = network_.edges_of_gpu[i];
        const Index other = network_.expert_of_edge[edge];
        if (sent_[edge] == 0 || depth_of_expert_[other] != kUnreached) continue;
        depth_of_expert_[other] = depth + 1;
        queue_.push_back(other);
      }
    }
  }
  return nearest != kUnreached;
}

// The next edge of an expert that leads one step further, or -1. What leads nowhere is not asked
// twice in a round.
Index Flow::edge_forth(Index expert) {
  for (Index& edge = next_edge_[expert]; edge < network_.first_edge[expert + 1]; ++edge) {
    if (depth_of_gpu_[gpu_of(edge)] == depth_of_expert_[expert] + 1) return edge;
  }
  return -1;
}

Index Flow::edge_back(Index gpu) {
  for (Index& next = next_back_[gpu]; next < network_.first_of_gpu[gpu + 1]; ++next) {
    const Index edge = network_.edges_of_gpu[next];
    const bool leads_on = depth_of_expert_[expert_of(edge)] == depth_of_gpu_[gpu] + 1;
    if (leads_on && sent_[edge] > 0) return edge;
  }
  return -1;
}

// Depth-first, with a path of its own instead of recursion: it may be as long as there are GPUs.
void Flow::augment_from(Index source) {
  Index expert = source;
  path_.clear();
  while (left_[source] > 0) {
    const Index edge = edge_forth(expert);
    if (edge < 0) {
      if (path_.empty()) return;
      const Hop last = path_.back();
      path_.pop_back();
      ++next_back_[gpu_of(last.forth)];
      expert = expert_of(last.forth);
    } else if (room_[gpu_of(edge)] > 0) {
      send_along_path(source, edge);
      path_.clear();
      expert = source;
    } else if (const Index back = edge_back(gpu_of(edge)); back >= 0) {
      path_.push_back({edge, back});
      expert = expert_of(back);
    } else {
      ++next_edge_[expert];
    }
  }
}

void Flow::send_along_path(Index source, Index last_edge) {
  Wide tokens = std::min(left_[source], room_[gpu_of(last_edge)]);
  for (const Hop& hop : path_) tokens = std::min(tokens, sent_[hop.back]);
  for (const Hop& hop : path_) {
    sent_[hop.forth] += tokens;
    sent_[hop.back] -= tokens;
  }
  sent_[last_edge] += tokens;
  room_[gpu_of(last_edge)] -= tokens;
  left_[source] -= tokens;
}

}  // namespace eplb::scoring
