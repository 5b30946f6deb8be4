#include <algorithm>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "moves/assignment.hpp"
#include "moves/relabel.hpp"

namespace eplb::bind {

namespace {

NumpyRow<Index> best_assignment(const Matrix<const std::int64_t>& worth) {
  const auto table = view(worth);
  require_size("A row of worth", table.columns(), table.rows());
  std::vector<std::vector<moves::Worth>> rows(table.rows());
  for (Index row = 0; row < table.rows(); ++row) {
    for (Index column = 0; column < table.columns(); ++column) {
      require(table(row, column) >= 0, "worth holds a number below 0.");
      if (table(row, column) > 0) rows[row].push_back({column, table(row, column)});
    }
  }
  return to_numpy(moves::best_assignment(rows));
}

// The largest id of both rows says how many experts there are.
moves::Shape shape_of(std::span<const std::int64_t> current, std::span<const std::int64_t> fresh,
                      Index num_gpus, Index num_nodes) {
  require_size("The new row", std::ssize(fresh), std::ssize(current));
  require(num_gpus >= 1 && num_nodes >= 1 && num_gpus % num_nodes == 0,
          "num_nodes does not divide num_gpus.");
  require(!current.empty() && std::ssize(current) % num_gpus == 0,
          "The slots are no multiple of the GPUs.");
  const Index most = std::max(std::ranges::max(current), std::ranges::max(fresh));
  const Index least = std::min(std::ranges::min(current), std::ranges::min(fresh));
  require(least >= -1, "A row holds an id below -1.");
  // Tables have a cell for each id, or for each GPU and id.
  constexpr Index kMostIds = Index{1} << 22, kMostCells = Index{1} << 27;
  require(most < kMostIds && most < kMostCells / num_gpus,
          "A row holds the id " + std::to_string(most) + ", which is too large.");
  return {most + 1, num_gpus, num_nodes};
}

NumpyRow<std::int64_t> relabel(const Row<const std::int64_t>& current,
                               const Row<const std::int64_t>& fresh, Index num_gpus,
                               Index num_nodes, Index far_price) {
  moves::Shape shape = shape_of(view(current), view(fresh), num_gpus, num_nodes);
  require(far_price >= 1 && far_price <= 1000, "far_price is not in 1..1000.");
  shape.far_price = far_price;
  std::vector<std::int64_t> placed(current.shape(0));
  {
    nb::gil_scoped_release unlocked;
    moves::relabel(view(current), view(fresh), shape, placed);
  }
  return to_numpy(std::move(placed));
}

NumpyRow<std::int64_t> keep_slots(const Row<const std::int64_t>& current,
                                  const Row<const std::int64_t>& fresh, Index num_gpus) {
  const moves::Shape shape = shape_of(view(current), view(fresh), num_gpus, 1);
  std::vector<std::int64_t> placed(current.shape(0));
  moves::keep_slots(view(current), view(fresh), shape, placed);
  return to_numpy(std::move(placed));
}

}  // namespace

void add_moves(nb::module_& chapter) {
  chapter.def("best_assignment", &best_assignment, nb::arg("worth").noconvert(),
              "The column of each row in an assignment of the largest total worth, int64 [num].\n\n"
              "`worth` is int64 [num, num], at least 0.");
  chapter.def("relabel", &relabel, nb::arg("current").noconvert(), nb::arg("fresh").noconvert(),
              nb::arg("num_gpus"), nb::arg("num_nodes"), nb::arg("far_price") = 1,
              "A new row with its GPUs named so that the fewest slots get an expert new on the GPU.\n\n"
              "A slot whose expert is new on its node, too, counts `far_price` times. Both rows are int64 [num_slots], -1 for an empty slot.");
  chapter.def("keep_slots", &keep_slots, nb::arg("current").noconvert(),
              nb::arg("fresh").noconvert(), nb::arg("num_gpus"),
              "A new row with what stays on a GPU in the slot where it was, int64 [num_slots].");
}

}  // namespace eplb::bind
