#include "rules/layer.hpp"

#include <algorithm>

namespace eplb::rules {

namespace {

std::vector<double> slowness_of(const std::vector<double>& speed) {
  std::vector<double> slowness;
  for (const double value : speed) slowness.push_back(1.0 / value);
  return slowness;
}

// Whether every GPU is a unit of its own.
bool are_apart(std::vector<Index> unit) {
  std::ranges::sort(unit);
  return std::ranges::adjacent_find(unit) == unit.end();
}

}  // namespace

Layer::Layer(const GpuRules& rules, Index num_experts)
    : rules_(rules),
      num_units_(*std::ranges::max_element(rules.unit) + 1),
      filled_(rules.unit.size()),
      open_(slowness_of(rules.speed)),
      count_(num_experts),
      room_(rules.unit.size()),
      copies_(num_experts * rules.unit.size()),
      at_home_(rules.is_spread && !are_apart(rules.unit) ? num_experts * num_units_ : 0),
      num_homes_(num_experts),
      held_(rules.unit.size()),
      hosts_(num_experts) {}

void Layer::begin(std::span<const std::int64_t> load, const Ties& ties) {
  ties_ = ties;
  load_.assign(load.begin(), load.end());
  std::ranges::fill(filled_, 0.0);
  std::ranges::fill(count_, 0);
  std::ranges::fill(num_homes_, 0);
  // Few of the pairs have a copy: they are taken back one by one.
  for (Index expert = 0; expert < num_experts(); ++expert) {
    for (const Index gpu : hosts_[expert]) {
      copies_[at(expert, gpu)] = 0;
      if (!at_home_.empty()) at_home_[home(expert, gpu)] = 0;
    }
    hosts_[expert].clear();
  }
  for (Index gpu = 0; gpu < num_gpus(); ++gpu) {
    held_[gpu].clear();
    set_room(gpu, rules_.open_slots[gpu]);
  }
}

bool Layer::is_placed(Index expert) const {
  return rules_.is_spread ? num_homes_[expert] > 1 : count_[expert] > 0;
}

bool Layer::may_take(Index gpu, Index expert) const {
  if (!is_open(gpu)) return false;
  if (!ties_.forbidden.empty() && ties_.forbidden[at(expert, gpu)]) return false;
  return !rules_.keeps_apart || copies_[at(expert, gpu)] == 0;
}

bool Layer::may_begin(Index gpu, Index expert) const {
  return may_take(gpu, expert) && (!rules_.is_spread || at_home(expert, gpu) == 0);
}

bool Layer::may_move(Index expert, Index source, Index target) const {
  if (!may_take(target, expert)) return false;
  if (!rules_.is_spread || rules_.unit[source] == rules_.unit[target]) return true;
  if (count_[expert] == 1) return true;
  const Index left = num_homes_[expert] - (at_home(expert, source) == 1 ? 1 : 0);
  return left + (at_home(expert, target) == 0 ? 1 : 0) > 1;
}

void Layer::stand(Index expert, Index gpu, std::int32_t change) {
  const bool was_home = at_home(expert, gpu) > 0;
  std::int32_t& copies = copies_[at(expert, gpu)];
  if (copies == 0) hosts_[expert].push_back(gpu);
  copies += change;
  if (copies == 0) std::erase(hosts_[expert], gpu);
  if (!at_home_.empty()) at_home_[home(expert, gpu)] += change;
  num_homes_[expert] += (at_home(expert, gpu) > 0 ? 1 : 0) - (was_home ? 1 : 0);
}

void Layer::put(Index expert, Index gpu) {
  const double before = count_[expert] > 0 ? share(expert) : 0.0;
  ++count_[expert];
  const double change = share(expert) - before;
  for (const Index host : hosts_[expert]) {
    add_load(host, static_cast<double>(copies_[at(expert, host)]) * change);
  }
  add_load(gpu, share(expert));
  stand(expert, gpu, 1);
  held_[gpu].push_back(expert);
  set_room(gpu, room_[gpu] - 1);
}

void Layer::move(Index expert, Index source, Index target) {
  held_[source].erase(std::ranges::find(held_[source], expert));
  held_[target].push_back(expert);
  stand(expert, source, -1);
  stand(expert, target, 1);
  add_load(source, -share(expert));
  add_load(target, share(expert));
}

void Layer::shift_room(Index from, Index to) {
  set_room(from, room_[from] - 1);
  set_room(to, room_[to] + 1);
}

void Layer::add_load(Index gpu, double change) {
  filled_[gpu] += change;
  if (room_[gpu] > 0) open_.set(gpu, filled_[gpu]);
}

void Layer::set_room(Index gpu, Index room) {
  room_[gpu] = room;
  if (room > 0) {
    open_.set(gpu, filled_[gpu]);
  } else {
    open_.close(gpu);
  }
}

Index Layer::lightest(Index expert, bool begins) const {
  const double share = load_[expert] / static_cast<double>(count_[expert] + 1);
  return open_.lightest(share, [&](Index gpu) {
    return begins ? may_begin(gpu, expert) : may_take(gpu, expert);
  });
}

}  // namespace eplb::rules
