#include "serving/refinement.hpp"

#include <algorithm>

namespace eplb::serving {

namespace {

// Steps of a layer between two looks at which layer deserves the next ones.
constexpr Index kTurn = 8;
// A layer's excess counts less by this share for every turn that it has had.
constexpr double kFatigue = 0.2;

}  // namespace

// Which layer is next, by what it is above its target.
class ModelSearch::Turns {
 public:
  Turns(ModelSearch& search, std::span<const std::int64_t> targets, const Budget& budget)
      : search_(search),
        targets_(targets),
        budget_(budget),
        scratch_(search.shape_),
        last_scratch_(search.last_shape_),
        excess_(targets.size()),
        turns_(targets.size()) {
    for (Index layer = 0; layer < std::ssize(targets); ++layer) measure(layer);
  }

  void by_steps() {
    for (Index layer = 0; layer < std::ssize(targets_); ++layer) {
      for (Index i = 0; i < budget_.steps && excess_[layer] > 0; ++i) step(layer);
    }
  }

  void by_need() {
    most_turns_ = static_cast<double>(budget_.steps) / kTurn;
    for (Index layer = neediest(); layer >= 0; layer = neediest()) {
      turns_[layer] += 1;
      for (Index i = 0; i < kTurn && excess_[layer] > 0; ++i) {
        if (budget_.is_over()) return;
        step(layer);
      }
    }
  }

 private:
  // In the caller's unit, which compares layers.
  void measure(Index layer) {
    const std::int64_t above = search_.reached(layer) - targets_[layer];
    excess_[layer] = static_cast<double>(above) * search_.loads_->unit[layer];
  }

  void step(Index layer) {
    NodeSearch& worst = search_.worst_node(layer);
    worst.step(targets_[layer], worst.plan().num_gpus() == search_.shape_.num_gpus ? scratch_
                                                                                   : last_scratch_);
    measure(layer);
  }

  // The layer with the most to gain that has not had its share, or -1.
  Index neediest() const {
    Index layer = -1;
    double most = 0;
    for (Index other = 0; other < std::ssize(excess_); ++other) {
      const double need = excess_[other] / (1 + kFatigue * turns_[other]);
      if (need > most && turns_[other] < most_turns_) most = need, layer = other;
    }
    return layer;
  }

  ModelSearch& search_;
  std::span<const std::int64_t> targets_;
  const Budget& budget_;
  Scratch scratch_, last_scratch_;
  std::vector<double> excess_, turns_;
  double most_turns_ = 0;
};

ModelSearch::ModelSearch(const FixedLoads& loads, const NodeShape& shape,
                         Table<const std::int64_t> placed,
                         std::span<const std::int64_t> node_weights)
    : loads_(&loads),
      shape_(shape),
      last_shape_(shape),
      num_layers_(placed.rows()),
      num_nodes_((placed.columns() + shape.num_slots - 1) / shape.num_slots),
      memory_(placed.rows() * num_nodes_ * 2 * shape.plan_size()) {
  const Index size = 2 * shape.plan_size(), num_rows = num_layers_ * num_nodes_;
  last_shape_.num_slots = placed.columns() - (num_nodes_ - 1) * shape.num_slots;
  last_shape_.num_gpus = last_shape_.num_slots / shape.slots_per_gpu();
  const Counts counts = node_weights.empty() ? Counts::change : Counts::stay;
  searches_.reserve(num_rows);
  for (Index row = 0; row < num_rows; ++row) {
    const Index layer = row / num_nodes_, node = row % num_nodes_;
    const NodeShape& mine = node + 1 < num_nodes_ ? shape_ : last_shape_;
    const auto weight = node_weights.empty()
                            ? loads.layer(layer)
                            : node_weights.subspan(row * loads.num_experts, loads.num_experts);
    searches_.emplace_back(mine, placed[layer].subspan(node * shape.num_slots, mine.num_slots),
                           weight, memory_.data() + row * size, counts);
  }
}

std::span<const NodeSearch> ModelSearch::nodes(Index layer) const {
  return std::span(searches_).subspan(layer * num_nodes_, num_nodes_);
}

// It alone decides its layer's largest load.
NodeSearch& ModelSearch::worst_node(Index layer) {
  const std::span<NodeSearch> all = std::span(searches_).subspan(layer * num_nodes_, num_nodes_);
  return *std::ranges::max_element(all, {}, &NodeSearch::reached);
}

std::int64_t ModelSearch::most_of(Index layer, std::int64_t (NodeSearch::*figure)() const) const {
  std::int64_t most = 0;
  for (const NodeSearch& node : nodes(layer)) most = std::max(most, (node.*figure)());
  return most;
}

std::int64_t ModelSearch::reached(Index layer) const {
  return most_of(layer, &NodeSearch::reached);
}

std::int64_t ModelSearch::heaviest_node(Index layer) const {
  return most_of(layer, &NodeSearch::total);
}

std::int64_t ModelSearch::largest_size(Index layer) const {
  return most_of(layer, &NodeSearch::largest_size);
}

void ModelSearch::take(const ModelSearch& other, Index layer) {
  for (Index row = layer * num_nodes_; row < (layer + 1) * num_nodes_; ++row) {
    searches_[row].start_as(other.searches_[row]);
  }
}

void ModelSearch::run(std::span<const std::int64_t> targets, const Budget& budget) {
  Turns turns(*this, targets, budget);
  if (budget.deadline) {
    turns.by_need();
  } else {
    turns.by_steps();
  }
}

void ModelSearch::write(Index layer, std::span<std::int64_t> placed,
                        std::span<std::int64_t> counts) const {
  std::ranges::fill(counts, 0);
  for (const NodeSearch& node : nodes(layer)) {
    const Index num_slots = node.plan().num_slots();
    node.best().write(placed.first(num_slots));
    placed = placed.subspan(num_slots);
    for (const std::int64_t expert : node.best().expert) ++counts[expert];
  }
}

}  // namespace eplb::serving
