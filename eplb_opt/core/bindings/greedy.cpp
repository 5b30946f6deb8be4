#include "bindings/chapters.hpp"

namespace eplb::bind {

void add_greedy(nanobind::module_&) {}

}  // namespace eplb::bind
