// Loads and sizes as callers hand them over.
#pragma once

#include "bindings/arrays.hpp"
#include "common/numbers.hpp"
#include "greedy/layout.hpp"

namespace eplb::bind {

// Real numbers of any type and layout, on the CPU.
using Numbers = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;

inline NumberType type_of(nb::dlpack::dtype type) {
  const auto is = [type](nb::dlpack::dtype other) { return type == other; };
  if (is(nb::dtype<float>())) return NumberType::f32;
  if (is(nb::dtype<double>())) return NumberType::f64;
  if (is(nb::dtype<std::int64_t>())) return NumberType::i64;
  if (is(nb::dtype<std::int32_t>())) return NumberType::i32;
  if (is(nb::dtype<std::int16_t>())) return NumberType::i16;
  if (is(nb::dtype<std::int8_t>())) return NumberType::i8;
  if (is(nb::dtype<std::uint64_t>())) return NumberType::u64;
  if (is(nb::dtype<std::uint32_t>())) return NumberType::u32;
  if (is(nb::dtype<std::uint16_t>())) return NumberType::u16;
  if (is(nb::dtype<std::uint8_t>())) return NumberType::u8;
  throw nb::type_error("The loads are of a type that the core does not read.");
}

inline StridedTable strided(const Numbers& numbers) {
  const Index bytes = static_cast<Index>(numbers.itemsize());
  require_aligned(numbers.data(), numbers.itemsize());
  return {numbers.data(),
          type_of(numbers.dtype()),
          static_cast<Index>(numbers.shape(0)),
          static_cast<Index>(numbers.shape(1)),
          numbers.stride(0) * bytes,
          numbers.stride(1) * bytes};
}

// Slots, groups, nodes and GPUs of a call, in this order.
using Sizes = std::tuple<Index, Index, Index, Index>;

inline greedy::Layout layout_of(Index num_experts, const Sizes& sizes) {
  const auto [num_slots, num_groups, num_nodes, num_gpus] = sizes;
  constexpr Index kMost = 1LL << 30;
  require(num_experts >= 1 && num_groups >= 1 && num_nodes >= 1 && num_gpus >= 1,
          "Experts, groups, nodes and GPUs are at least 1.");
  require(num_slots >= num_experts && num_slots <= kMost && num_slots % num_gpus == 0,
          "num_slots is a multiple of num_gpus, no less than the experts and no more than 2**30.");
  require(num_experts % num_groups == 0 && num_groups % num_nodes == 0 && num_gpus % num_nodes == 0,
          "Groups divide the experts, and nodes the groups and the GPUs.");
  return {num_experts, num_slots, num_groups, num_nodes, num_gpus};
}

}  // namespace eplb::bind
