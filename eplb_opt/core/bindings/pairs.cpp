#include "bindings/chapters.hpp"
#include "bindings/pairs_parts.hpp"

namespace eplb::bind {

namespace {

using pairs::Layer;

// Options, one for every expert and count, are numbered in 32 bits.
constexpr Index kMostOptions = Index{1} << 30;

void require_layer(std::span<const std::int64_t> load, int scale_bits, Index num_slots) {
  const Index num_experts = std::ssize(load);
  require(num_experts >= 1, "a layer has at least one expert.");
  require(num_slots % 2 == 0 && num_slots >= num_experts,
          "num_slots is even and at least the number of experts.");
  require(num_slots <= kMostOptions / num_experts, "num_slots times the experts pass 2**30.");
  require(scale_bits >= 0 && scale_bits < 64, "scale_bits is not in 0..63.");
  const pairs::Wide end = pairs::Wide{1} << (Layer::kMostBits - 1 - scale_bits);
  for (const std::int64_t tokens : load) {
    require(tokens >= 0 && tokens < end, "a load is negative, or passes 2**125 in units.");
  }
}

void make_layer(Layer* self, const Integers& load, int scale_bits, Index num_slots) {
  require_layer(view(load), scale_bits, num_slots);
  new (self) Layer(view(load), scale_bits, num_slots);
}

NumpyRow<std::int64_t> fewest(const Layer& layer, const nb::int_& level) {
  const pairs::Wide units = level_in_range(level);
  std::vector<std::int64_t> counts(layer.num_experts());
  for (Index expert = 0; expert < layer.num_experts(); ++expert) {
    counts[expert] = layer.fewest(expert, units);
  }
  return to_numpy(std::move(counts));
}

}  // namespace

void add_pairs_layer(nb::module_& chapter) {
  nb::class_<Layer>(chapter, "Layer",
                    "Loads with two slots a GPU, in units of 2**-scale_bits tokens.\n\n"
                    "`load` is int64 [num_experts].")
      .def("__init__", &make_layer, nb::arg("load").noconvert(), nb::arg("scale_bits"),
           nb::arg("num_slots"))
      .def("fewest", &fewest, nb::arg("level"),
           "Replicas that each expert takes at least in a plan of at most the level;\n"
           "int64 [num_experts], and num_slots + 1 where they would be more.");
}

void add_pairs(nb::module_& chapter) {
  add_pairs_layer(chapter);
  add_pairs_counts(chapter);
  add_pairs_options(chapter);
  add_pairs_tree(chapter);
}

}  // namespace eplb::bind
