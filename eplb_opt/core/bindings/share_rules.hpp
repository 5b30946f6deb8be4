// The rules by which an expert's tokens are split over its replicas, for all chapters.
#pragma once

#include "bindings/arrays.hpp"
#include "shares/rules.hpp"

namespace eplb::bind {

void add_share_rules(nb::module_& chapter);

}  // namespace eplb::bind
