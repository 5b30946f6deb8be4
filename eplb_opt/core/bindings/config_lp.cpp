#include "bindings/chapters.hpp"

namespace eplb::bind {

void add_config_lp(nanobind::module_&) {}

}  // namespace eplb::bind
