// What the bindings of the chapter `pairs` share: integers wider than 64 bits, and what each adds.
#pragma once

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include "bindings/arrays.hpp"
#include "pairs/layer.hpp"

namespace eplb::bind {

using Integers = Row<const std::int64_t>;
using Numbers = Row<const double>;

inline pairs::Wide to_wide(const nb::int_& value) {
  const nb::int_ high(value >> nb::int_(64));
  const nb::int_ low(value & nb::int_(0xFFFFFFFFFFFFFFFFU));
  return (static_cast<pairs::Wide>(nb::cast<std::int64_t>(high)) << 64) +
         nb::cast<std::uint64_t>(low);
}

inline nb::object to_python(pairs::Wide value) {
  const nb::int_ high(static_cast<std::int64_t>(value >> 64));
  return (high << nb::int_(64)) | nb::int_(static_cast<std::uint64_t>(value));
}

inline pairs::Wide level_in_range(const nb::int_& level) {
  const nb::int_ end(nb::int_(1) << nb::int_(pairs::Layer::kMostBits));
  require(level >= nb::int_(1) && level < end, "a level is at least 1 and below 2**126.");
  return to_wide(level);
}

using ListOfIntegers = nb::typed<nb::list, nb::int_>;

inline ListOfIntegers thresholds(const pairs::Level& level) {
  ListOfIntegers found;
  for (const pairs::Wide threshold : level.threshold) found.append(to_python(threshold));
  return found;
}

// Running sums of prices that a search may begin at, or prices below their limit.
inline void require_running(std::span<const double> running, Index num_rows) {
  require_size("running", std::ssize(running), num_rows);
  double before = 0.0;
  for (const double sum : running) {
    require(sum >= before && sum <= 1024.0, "running sums of prices ascend from 0 to at most 1024.");
    before = sum;
  }
}

// An array that owns its numbers needs nothing of the object that it is read from.
inline constexpr auto kOwned = nb::rv_policy::automatic;

void add_pairs_layer(nb::module_& chapter);
void add_pairs_counts(nb::module_& chapter);
void add_pairs_options(nb::module_& chapter);
void add_pairs_tree(nb::module_& chapter);

}  // namespace eplb::bind
