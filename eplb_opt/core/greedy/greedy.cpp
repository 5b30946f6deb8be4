#include "greedy/greedy.hpp"

#include "greedy/placer.hpp"

namespace eplb::greedy {

namespace {

// Summed in float64, so that the order of the terms does not show in the float32 result.
std::vector<float> group_loads(Table<const float> load, const Layout& layout) {
  const Index size = layout.group_size();
  std::vector<float> sums;
  sums.reserve(load.rows() * layout.num_groups);
  for (Index first = 0; first < load.rows() * load.columns(); first += size) {
    double sum = 0;
    for (Index i = 0; i < size; ++i) sum += load.data()[first + i];
    sums.push_back(static_cast<float>(sum));
  }
  return sums;
}

}  // namespace

std::vector<std::int64_t> node_members(Table<const float> load, const Layout& layout) {
  const Index num_groups = layout.num_groups, size = layout.group_size();
  const std::vector<float> sums = group_loads(load, layout);
  std::vector<std::int64_t> order(load.rows() * num_groups), counts(order.size());
  place_rows({{sums.data(), load.rows(), num_groups}, nullptr, num_groups, layout.num_nodes}, 1,
             {order.data(), load.rows(), num_groups}, {counts.data(), load.rows(), num_groups});
  std::vector<std::int64_t> members;
  members.reserve(load.rows() * load.columns());
  for (const std::int64_t group : order) {
    for (Index i = 0; i < size; ++i) members.push_back(group * size + i);
  }
  return members;
}

void place(Table<const float> load, const Layout& layout, std::span<const std::int64_t> members,
           Table<std::int64_t> placed, Table<std::int64_t> counts) {
  const Index num_layers = load.rows(), num_nodes = layout.num_nodes;
  const Index num_rows = num_layers * num_nodes;
  if (layout.num_groups == 1 && members.empty()) {
    place_rows({load, nullptr, layout.num_slots, layout.num_gpus}, 1, placed, counts);
    return;
  }
  std::vector<std::int64_t> packed;
  if (members.empty()) {
    packed = node_members(load, layout);
    members = packed;
  }
  std::vector<float> rows(members.size());
  for (Index layer = 0; layer < num_layers; ++layer) {
    for (Index i = 0; i < load.columns(); ++i) {
      rows[layer * load.columns() + i] = load(layer, members[layer * load.columns() + i]);
    }
  }
  place_rows({{rows.data(), num_rows, layout.node_experts()}, members.data(), layout.node_slots(),
              layout.node_gpus()},
             num_nodes, {placed.data(), num_rows, layout.node_slots()}, counts);
}

}  // namespace eplb::greedy
