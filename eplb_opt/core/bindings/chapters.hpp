// What each chapter adds to the module; one function a file of this folder.
#pragma once

#include <nanobind/nanobind.h>

namespace eplb::bind {

void add_greedy(nanobind::module_& chapter);
void add_local(nanobind::module_& chapter);
void add_annealing(nanobind::module_& chapter);
void add_design(nanobind::module_& chapter);  // a part of the annealing's
void add_topology(nanobind::module_& chapter);  // likewise
void add_shares(nanobind::module_& chapter);  // likewise
void add_dispatch(nanobind::module_& chapter);
void add_pairs(nanobind::module_& chapter);
void add_config_lp(nanobind::module_& chapter);
void add_serving(nanobind::module_& chapter);
void add_serving_shares(nanobind::module_& chapter);  // a part of the serving path's
void add_rules(nanobind::module_& chapter);
void add_rules_on_nodes(nanobind::module_& chapter);  // a part of the rules
void add_scoring(nanobind::module_& chapter);
void add_bounds(nanobind::module_& chapter);
void add_moves(nanobind::module_& chapter);
void add_near(nanobind::module_& chapter);

}  // namespace eplb::bind
