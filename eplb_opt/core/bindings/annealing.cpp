#include "bindings/chapters.hpp"

namespace eplb::bind {

void add_annealing(nanobind::module_&) {}

}  // namespace eplb::bind
