#include <algorithm>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "scoring/least_level.hpp"

namespace eplb::bind {

namespace {

void require_experts_stand(Table<const std::int64_t> load, Table<const std::int64_t> placed) {
  std::vector<char> stands;
  for (Index layer = 0; layer < load.rows(); ++layer) {
    stands.assign(load.columns(), 0);
    for (const std::int64_t expert : placed[layer]) {
      require(expert >= -1 && expert < load.columns(), "placed holds what is no expert.");
      if (expert >= 0) stands[expert] = 1;
    }
    for (Index expert = 0; expert < load.columns(); ++expert) {
      require(load(layer, expert) >= 0, "load holds a number below 0.");
      require(stands[expert] || load(layer, expert) == 0, "An expert with load stands nowhere.");
    }
  }
}

void least_levels(const Matrix<const std::int64_t>& load, const Matrix<const std::int64_t>& placed,
                  const Row<const std::int64_t>& rate, const Row<std::int64_t>& tokens,
                  const Matrix<bool>& is_tight) {
  const auto loads = view(load);
  const auto rows = view(placed);
  const auto rates = view(rate);
  const auto found = view(tokens);
  const auto tight = view(is_tight);
  require(rates.size() > 0 && rows.columns() % std::ssize(rates) == 0,
          "The slots are no multiple of the GPUs.");
  require_size("placed", rows.rows(), loads.rows());
  require_size("tokens", std::ssize(found), loads.rows());
  require_size("is_tight", tight.rows(), loads.rows());
  require_size("is_tight", tight.columns(), std::ssize(rates));
  require(std::ranges::all_of(rates, [](std::int64_t r) { return r > 0; }),
          "rate holds what is not above 0.");
  nb::gil_scoped_release unlocked;
  require_experts_stand(loads, rows);
  for (Index layer = 0; layer < loads.rows(); ++layer) {
    const auto level = scoring::least_level(loads[layer], rows[layer], rates, tight[layer]);
    found[layer] = level.is_known ? level.tokens : -1;
  }
}

}  // namespace

void add_scoring(nb::module_& chapter) {
  chapter.def("least_levels", &least_levels, nb::arg("load").noconvert(),
              nb::arg("placed").noconvert(), nb::arg("rate").noconvert(),
              nb::arg("tokens").noconvert(), nb::arg("is_tight").noconvert(),
              "Find the sets of GPUs that prove the least largest load over rate of every layer.\n\n"
              "`load` is int64 [num_layers, num_experts], `placed` int64 [num_layers, num_slots] with\n"
              "-1 for an empty slot, `rate` int64 [num_gpus]. Written are `is_tight`, bool\n"
              "[num_layers, num_gpus], and `tokens`, int64 [num_layers], of the experts that stand\n"
              "on such GPUs alone; -1 where the integers would not fit, and nothing is known.");
}

}  // namespace eplb::bind
