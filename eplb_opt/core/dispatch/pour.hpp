// Block coordinate descent on the sum of squared GPU loads over speeds: the load of one expert after
// the other is taken off its hosts and poured back to one water level. The fixed point is the
// least-squares split, whose largest level is the least one.
#pragma once

#include "dispatch/routes.hpp"
#include "dispatch/speeds.hpp"

namespace eplb::dispatch {

// A split in the making: what each GPU gets, and each pair of an expert with several hosts.
struct Flow {
  std::vector<double> level;  // by GPU
  std::vector<double> pair;   // by pair
};

// Puts the load of experts with one host there, and nothing else.
void start(Flow& flow, const LayerRoutes& routes, std::span<const double> load);

// Pours every expert with several hosts once.
void sweep(Flow& flow, const LayerRoutes& routes, const Speeds& speeds,
           std::span<const double> load);

}  // namespace eplb::dispatch
