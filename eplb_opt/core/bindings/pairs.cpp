#include "bindings/chapters.hpp"

namespace eplb::bind {

void add_pairs(nanobind::module_&) {}

}  // namespace eplb::bind
