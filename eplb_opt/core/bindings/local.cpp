#include "bindings/chapters.hpp"

namespace eplb::bind {

void add_local(nanobind::module_&) {}

}  // namespace eplb::bind
