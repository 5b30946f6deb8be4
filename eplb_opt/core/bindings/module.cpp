// The extension module: one submodule a chapter.
#include <nanobind/nanobind.h>

#include "bindings/chapters.hpp"

NB_MODULE(_core, module) {
  namespace bind = eplb::bind;
  const auto chapter = [&module](const char* name, const char* purpose,
                                 void (*add)(nanobind::module_&)) {
    nanobind::module_ part = module.def_submodule(name, purpose);
    add(part);
  };
  module.doc() = "The compiled core of eplb_opt: loops over numbers, a chapter a submodule.";
  chapter("greedy", "Replicate and place by decreasing load.", bind::add_greedy);
  chapter("local", "Local search on one layer.", bind::add_local);
  chapter("annealing", "Annealing under several loads, designs and losses.", bind::add_annealing);
  chapter("dispatch", "The split of tokens over replicas.", bind::add_dispatch);
  chapter("pairs", "Exact search with two slots a GPU.", bind::add_pairs);
  chapter("config_lp", "Bounds by configurations of a GPU.", bind::add_config_lp);
  chapter("serving", "Plans within milliseconds.", bind::add_serving);
  chapter("rules", "First plans where GPUs differ or replicas stand apart.", bind::add_rules);
  chapter("scoring", "What a placement is worth, exactly.", bind::add_scoring);
  chapter("bounds", "Sums that no plan undercuts.", bind::add_bounds);
  chapter("moves", "From the plan in force to a new one.", bind::add_moves);
  chapter("near", "Plans that move little.", bind::add_near);
}
