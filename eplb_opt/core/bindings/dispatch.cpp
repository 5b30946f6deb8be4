#include "bindings/chapters.hpp"

namespace eplb::bind {

void add_dispatch(nanobind::module_&) {}

}  // namespace eplb::bind
