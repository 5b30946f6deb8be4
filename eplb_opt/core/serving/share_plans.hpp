// Plans of a model within milliseconds, for rules by which GPUs send to replicas.
#pragma once

#include <variant>

#include "serving/share_descent.hpp"
#include "serving/share_layer.hpp"

namespace eplb::serving {

using SenderRule = std::variant<shares::RankModulo, shares::Nearest>;

// What is asked of every layer.
struct ShareRequest {
  ShareMachine machine;
  double tolerance;                // above its bound, as a share of it, a layer is left alone
  bool near;                       // whether to go on from the plans given, with few moves
  Index steps;                     // of each layer
  std::int64_t seed;               // of what is drawn at random, not 0
  std::optional<double> seconds;   // for all of them
};

// Largest loads of the plans in and out; -1 where there was no plan.
struct ShareLoadsOf {
  std::vector<std::int64_t> before, after;
};

// `weights` [num_layers, num_experts] times senders fit twice into 63 bits. `placed` [num_layers,
// num_slots] holds a plan of the layers that begin with no -1, and takes the new ones, none of
// which is worse.
ShareLoadsOf plan_shares(const SenderRule& rule, Table<const std::int64_t> weights,
                         const ShareRequest& request, Table<std::int64_t> placed);

}  // namespace eplb::serving
