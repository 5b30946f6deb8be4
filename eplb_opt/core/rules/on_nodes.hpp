// First plans where nodes matter: all that fits at home, or hot experts on every node.
#pragma once

#include <vector>

#include "common/views.hpp"
#include "rules/node_packer.hpp"

namespace eplb::rules {

// A step that adds replicas to an expert with so many: what it is worth a replica and a unit of the
// expert's load, and how many it adds.
struct CountStep {
  double worth;
  Index size;
};

// Where replicas go under a rule that knows no home; see `NodeFiller::spread`.
struct Spread {
  // By the count that an expert begins with, the steps from there, the best first; and by its final
  // count the nodes of its replicas, where any will not do.
  std::vector<std::vector<CountStep>> steps;
  std::vector<std::vector<Index>> nodes;
};

// Fills layers one after the other, all of as many experts. The `unit` of the rules is the node.
class NodeFiller {
 public:
  NodeFiller(const GpuRules& rules, Index num_experts);

  // All at home, int64 [num_experts], as far as a node's slots go; its lightest ones beyond them
  // stand where most slots are left, and a node with too few gets the lightest of others. Spare
  // slots make the largest replicas smaller. False where no GPU can take some replica.
  bool at_home(std::span<const std::int64_t> load, std::span<const std::int64_t> home,
               std::span<std::int64_t> placed);

  // Replicas from a first count on, int64 [num_experts]: steps in the order of their worth, then
  // what makes the largest replicas smaller. Experts of many replicas choose nodes first.
  bool spread(std::span<const std::int64_t> load, std::span<const std::int64_t> first,
              const Spread& rule, std::span<std::int64_t> placed);

 private:
  void give_homes(std::span<const std::int64_t> home);
  void take_others(Index node);
  bool has_equal_gpus(Index node) const;
  bool stand_apart(Index node, std::vector<Index> times) const;
  std::vector<double> speeds_of(Index node) const;
  bool give_counts(Index node, std::span<const std::int64_t> load);
  void take_steps(std::span<const std::int64_t> load, const Spread& rule);
  void choose_nodes(std::span<const std::int64_t> load, const Spread& rule);
  bool pack_all(std::span<std::int64_t> placed);

  const GpuRules& rules_;
  NodePacker packer_;
  std::vector<std::vector<Index>> gpus_;  // of each node, those with slots
  std::vector<Index> slots_;              // of each node
  std::vector<Index> order_, count_;
  std::vector<std::vector<Index>> held_;  // experts of each node
  std::vector<Household> households_;
};

// The node of each expert in descending load, where it adds least: the price of standing there,
// [num_experts, num_nodes], and by how much the node's load over its part would be above the
// largest so far, or the mean. `room` are the slots of each node.
void level_homes(std::span<const std::int64_t> load, Table<const double> price,
                 std::span<const double> part, std::span<const std::int64_t> room,
                 std::span<std::int64_t> home);

}  // namespace eplb::rules
