// The plan that a search works on: exact loads, traffic and homes, move by move.
#include <algorithm>
#include <limits>

#include "serving/group_nodes.hpp"
#include "serving/priced_search.hpp"

namespace eplb::serving {

Columns::Columns(const Locality& locality)
    : node_width((locality.gpus_per_node() + kEight - 1) / kEight * kEight),
      width(node_width * locality.num_nodes),
      places(locality.slots_per_gpu()),
      of_gpu(locality.num_gpus),
      node(width) {
  for (Index gpu = 0; gpu < locality.num_gpus; ++gpu) {
    const Index in_node = gpu / locality.gpus_per_node();
    of_gpu[gpu] = static_cast<std::int32_t>(in_node * node_width + gpu % locality.gpus_per_node());
  }
  for (Index column = 0; column < width; ++column) {
    node[column] = static_cast<std::int32_t>(column / node_width);
  }
}

PricedSearch::PricedSearch(const Locality& locality)
    : locality_(locality),
      columns_(locality),
      group_(Grid(locality).group),
      expert_(columns_.size(), -1),
      slot_home_(columns_.size(), -1),
      slot_size_(columns_.size()),
      home_(locality.num_experts),
      count_(locality.num_experts),
      at_home_(locality.num_experts),
      size_(locality.num_experts),
      relative_weight_(locality.num_experts),
      relative_size_(locality.num_experts),
      load_(columns_.width),
      relative_load_(columns_.width, kFull),
      home_of_group_(locality.num_groups),
      served_(locality.num_groups * locality.num_nodes),
      node_price_(locality.num_nodes),
      homes_held_(locality.num_nodes),
      peaks_(locality.num_experts),
      replica_of_slot_(columns_.size()) {
  // Nothing is away where there is no slot.
  for (Index at = 0; at < columns_.size(); ++at) slot_home_[at] = columns_.node[columns_.column_of(at)];
}

void PricedSearch::start(std::span<const std::int64_t> weight, std::span<const Index> homes,
                         std::span<const std::int64_t> placed) {
  weight_ = weight;
  std::ranges::copy(homes, home_of_group_.begin());
  for (Index e = 0; e < locality_.num_experts; ++e) {
    home_[e] = static_cast<std::int32_t>(homes[group_[e]]);
  }
  place(placed);
  weigh(weight);
  find_served();
  cursor_ = 0;
  is_home_ = is_stuck_ = false;
  light_.clear();
  knows_replicas_ = false;
  since_least_.clear();
  measure();
  least_cost_ = locality_.cost(load_[heavy_], static_cast<double>(away_));
  std::ranges::fill(node_price_, 0);
  if (!homes_suit()) change_homes();
}

void PricedSearch::place(std::span<const std::int64_t> placed) {
  std::ranges::fill(count_, 0);
  std::ranges::fill(at_home_, 0);
  auto next = placed.begin();
  for (const std::int32_t column : columns_.of_gpu) {
    const std::int32_t node = columns_.node[column];
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      const auto held = static_cast<std::int32_t>(*next++);
      expert_[at] = held;
      slot_home_[at] = home_[held];
      ++count_[held];
      at_home_[held] += home_[held] == node;
    }
  }
}

void PricedSearch::weigh(std::span<const std::int64_t> weight) {
  std::int64_t total = 0;
  for (const std::int64_t each : weight) total += each;
  const double mean = static_cast<double>(total) / static_cast<double>(locality_.num_gpus);
  scale_ = mean > 0.0 ? 1.0 / mean : 1.0;
  away_ = 0;
  for (Index e = 0; e < locality_.num_experts; ++e) {
    size_[e] = count_[e] > 1 ? weight[e] / count_[e] : weight[e];
    away_ += size_[e] * (count_[e] - at_home_[e]);
    relative_weight_[e] = relative(weight[e]);
    relative_size_[e] = relative(size_[e]);
  }
  for (const std::int32_t column : columns_.of_gpu) {
    std::int64_t load = 0;
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      slot_size_[at] = relative_size_[expert_[at]];
      load += size_[expert_[at]];
    }
    load_[column] = load;
    relative_load_[column] = relative(load);
  }
}

void PricedSearch::find_served() {
  std::ranges::fill(served_, 0);
  for (const std::int32_t column : columns_.of_gpu) {
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      served_[place_of(expert_[at], columns_.node[column])] += size_[expert_[at]];
    }
  }
}

void PricedSearch::measure() {
  heavy_ = std::ranges::max_element(load_) - load_.begin();
  peak_ = relative_load_[heavy_];
}

void PricedSearch::make(const Move& move) {
  if (move.taker < 0) {
    swap(move.at, move.other);
  } else {
    since_least_.push_back({move.at, -1, expert_[move.at]});
    set_slot(move.at, move.taker);
  }
}

void PricedSearch::swap(Index at, Index other) {
  since_least_.push_back({at, other, -1});
  const Index here = node_of(at), there = node_of(other);
  const auto move = [&](std::int32_t expert, Index from, Index to) {
    const std::int32_t come = (home_[expert] == to) - (home_[expert] == from);
    at_home_[expert] += come;
    away_ -= come * size_[expert];
    served_[place_of(expert, from)] -= size_[expert];
    served_[place_of(expert, to)] += size_[expert];
  };
  if (here != there) move(expert_[at], here, there), move(expert_[other], there, here);
  const std::int64_t moved = size_[expert_[at]] - size_[expert_[other]];
  const Index one = columns_.column_of(at), two = columns_.column_of(other);
  load_[one] -= moved, load_[two] += moved;
  relative_load_[one] = relative(load_[one]), relative_load_[two] = relative(load_[two]);
  std::swap(expert_[at], expert_[other]);
  std::swap(slot_home_[at], slot_home_[other]);
  std::swap(slot_size_[at], slot_size_[other]);
  measure();
  if (!knows_replicas_) return;
  std::int32_t &mine = replica_of_slot_[at], &theirs = replica_of_slot_[other];
  if (mine >= 0) replicas_[mine] = static_cast<std::int32_t>(other);
  if (theirs >= 0) replicas_[theirs] = static_cast<std::int32_t>(at);
  std::swap(mine, theirs);
}

// What nodes serve stays as it is.
void PricedSearch::swap_within(Index at, Index other) {
  const std::int64_t moved = size_[expert_[at]] - size_[expert_[other]];
  const Index one = columns_.column_of(at), two = columns_.column_of(other);
  load_[one] -= moved, load_[two] += moved;
  relative_load_[one] = relative(load_[one]), relative_load_[two] = relative(load_[two]);
  std::swap(expert_[at], expert_[other]);
  std::swap(slot_home_[at], slot_home_[other]);
  std::swap(slot_size_[at], slot_size_[other]);
}

void PricedSearch::set_slot(Index at, std::int32_t expert) {
  knows_replicas_ = false;
  const std::int32_t before = expert_[at];
  const auto change = [&](std::int32_t changed, std::int32_t more) {
    away_ -= size_[changed] * (count_[changed] - at_home_[changed]);
    count_[changed] += more;
    at_home_[changed] += is_home(changed, at) ? more : 0;
  };
  load_[columns_.column_of(at)] += size_[expert] - size_[before];
  served_[place_of(before, node_of(at))] -= size_[before];
  served_[place_of(expert, node_of(at))] += size_[expert];
  expert_[at] = expert;
  slot_home_[at] = home_[expert];
  change(before, -1), change(expert, 1);
  set_size(before), set_size(expert);
  relative_load_[columns_.column_of(at)] = relative(load_[columns_.column_of(at)]);
  measure();
}

void PricedSearch::set_size(std::int32_t expert) {
  const std::int64_t fresh = weight_[expert] / count_[expert], more = fresh - size_[expert];
  const float size = relative(fresh);
  for (Index q = 0; q < columns_.size(); ++q) {
    if (expert_[q] != expert) continue;
    const Index column = columns_.column_of(q);
    load_[column] += more;
    served_[place_of(expert, columns_.node[column])] += more;
    relative_load_[column] = relative(load_[column]);
    slot_size_[q] = size;
  }
  size_[expert] = fresh;
  relative_size_[expert] = size;
  away_ += fresh * (count_[expert] - at_home_[expert]);
}

void PricedSearch::keep_if_least() {
  const double cost = locality_.cost(load_[heavy_], static_cast<double>(away_));
  if (cost >= least_cost_) return;
  least_cost_ = cost;
  since_least_.clear();
  if (!homes_suit()) change_homes();
}

// Whether no other homes keep more. Mostly every group has the node that serves most of it. Else nodes
// are given prices with which no group gains by another node, and none by a place that is free: where
// there are such, no exchange of homes gains, along a circle of groups either. They are found as
// longest ways are (Bellman and Ford), and are kept for the next time.
bool PricedSearch::homes_suit() {
  if (locality_.price <= 0.0 || is_best_everywhere()) return true;
  const Index num_nodes = locality_.num_nodes;
  std::ranges::fill(homes_held_, 0);
  for (const Index node : home_of_group_) ++homes_held_[node];
  for (Index round = 0; round <= num_nodes; ++round) {
    bool is_new = false;
    std::int64_t given = std::numeric_limits<std::int64_t>::min();
    const std::int64_t* row = served_.data();
    for (Index group = 0; group < locality_.num_groups; ++group, row += num_nodes) {
      const Index home = home_of_group_[group];
      const std::int64_t less = node_price_[home] - row[home];
      for (Index node = 0; node < num_nodes; ++node) {
        is_new |= row[node] + less > node_price_[node];
        node_price_[node] = std::max(node_price_[node], row[node] + less);
      }
    }
    for (Index node = 0; node < num_nodes; ++node) {
      if (homes_held_[node] < locality_.most_groups()) given = std::max(given, node_price_[node]);
    }
    for (Index node = 0; node < num_nodes; ++node) {
      if (homes_held_[node] <= locality_.least_groups() || given <= node_price_[node]) continue;
      node_price_[node] = given;
      is_new = true;
    }
    if (!is_new) return true;
  }
  return false;
}

bool PricedSearch::is_best_everywhere() const {
  const std::int64_t* row = served_.data();
  for (Index group = 0; group < locality_.num_groups; ++group, row += locality_.num_nodes) {
    const std::int64_t kept = row[home_of_group_[group]];
    for (Index node = 0; node < locality_.num_nodes; ++node) {
      if (row[node] > kept) return false;
    }
  }
  return true;
}

// Take the best homes, where they are better.
void PricedSearch::change_homes() {
  const std::vector<Index> best = best_homes(locality_, served_);
  std::ranges::fill(node_price_, 0);
  std::int64_t kept = 0, before = 0;
  for (Index group = 0; group < locality_.num_groups; ++group) {
    kept += served_[group * locality_.num_nodes + best[group]];
    before += served_[group * locality_.num_nodes + home_of_group_[group]];
  }
  if (kept <= before) return;
  home_of_group_ = best;
  std::ranges::fill(at_home_, 0);
  for (Index e = 0; e < locality_.num_experts; ++e) {
    home_[e] = static_cast<std::int32_t>(best[group_[e]]);
  }
  for (const std::int32_t column : columns_.of_gpu) {
    for (Index at = column; at < columns_.size(); at += columns_.width) {
      slot_home_[at] = home_[expert_[at]];
      at_home_[expert_[at]] += slot_home_[at] == columns_.node[column];
    }
  }
  away_ -= kept - before;
  least_cost_ = locality_.cost(load_[heavy_], static_cast<double>(away_));
}

Worth PricedSearch::finish(std::span<std::int64_t> placed, std::span<std::int64_t> homes) {
  go_back();
  auto next = placed.begin();
  for (const std::int32_t column : columns_.of_gpu) {
    for (Index at = column; at < columns_.size(); at += columns_.width) *next++ = expert_[at];
  }
  std::ranges::copy(home_of_group_, homes.begin());
  return {load_[heavy_], static_cast<double>(away_), least_cost_};
}

void PricedSearch::go_back() {
  const std::vector<Done> done = std::move(since_least_);
  for (Index i = std::ssize(done) - 1; i >= 0; --i) {
    if (done[i].other >= 0) {
      swap(done[i].at, done[i].other);
    } else {
      set_slot(done[i].at, done[i].before);
    }
  }
  since_least_.clear();
}

}  // namespace eplb::serving
