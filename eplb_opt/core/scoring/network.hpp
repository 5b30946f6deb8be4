// Experts, the GPUs that hold them, and a flow of tokens between the two.
#pragma once

#include <vector>

#include "common/views.hpp"

namespace eplb::scoring {

__extension__ typedef __int128 Wide;

// Hosts of every expert, each once. An edge is an expert on a GPU; edges of one expert are
// neighbours, and `edges_of_gpu` lists those of a GPU.
struct Network {
  Network(std::span<const std::int64_t> load, std::span<const std::int64_t> placed, Index num_gpus);

  Index num_experts() const { return std::ssize(first_edge) - 1; }
  Index num_gpus() const { return std::ssize(first_of_gpu) - 1; }
  bool is_free(Index expert) const {
    return load[expert] > 0 && first_edge[expert + 1] - first_edge[expert] > 1;
  }
  std::span<const std::int32_t> hosts(Index expert) const {
    return {gpu_of_edge.data() + first_edge[expert], gpu_of_edge.data() + first_edge[expert + 1]};
  }

  std::span<const std::int64_t> load;
  std::vector<std::int64_t> fixed;  // tokens of each GPU that can stand nowhere else
  std::vector<Index> first_edge, first_of_gpu;
  std::vector<std::int32_t> gpu_of_edge, expert_of_edge, edges_of_gpu;
};

// The GPUs' ratio: `tokens` over `rate`.
struct Ratio {
  std::int64_t tokens;
  Wide rate;

  bool operator>(const Ratio& other) const {
    return static_cast<Wide>(tokens) * other.rate > static_cast<Wide>(other.tokens) * rate;
  }
};

// A flow of the free experts' tokens in units of one over the level's rate.
class Flow {
 public:
  Flow(const Network& network, std::span<const std::int64_t> rate, const Ratio& level);

  // Sends what goes directly, then all that shortest augmenting paths carry (Dinic, "Algorithm for
  // solution of a problem of maximum flow in networks with power estimation", 1970). Writes the GPUs
  // behind a minimum cut and returns true where tokens are left over.
  bool is_short(std::span<bool> cut);

 private:
  // Forth to a GPU and back to another expert whose tokens there make way.
  struct Hop {
    Index forth, back;
  };

  void send_directly();
  bool find_distances();
  void augment_from(Index source);
  Index edge_forth(Index expert);
  Index edge_back(Index gpu);
  void send_along_path(Index source, Index last_edge);
  Index gpu_of(Index edge) const { return network_.gpu_of_edge[edge]; }
  Index expert_of(Index edge) const { return network_.expert_of_edge[edge]; }

  const Network& network_;
  std::vector<Wide> room_, left_, sent_;
  std::vector<std::int32_t> depth_of_gpu_, depth_of_expert_;
  std::vector<Index> next_edge_, next_back_;  // what experts and GPUs try next in this round
  std::vector<Hop> path_;
  std::vector<Index> queue_;
};

}  // namespace eplb::scoring
