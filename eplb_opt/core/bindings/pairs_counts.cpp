#include <algorithm>
#include <numeric>

#include "bindings/pairs_parts.hpp"
#include "common/clock.hpp"
#include "pairs/moves.hpp"

namespace eplb::bind {

namespace {

void require_counts(std::span<const double> load, std::span<const std::int64_t> counts) {
  require(!load.empty(), "a layer has at least one expert.");
  require_size("counts", std::ssize(counts), std::ssize(load));
  require(std::ranges::all_of(load, [](double w) { return w >= 0 && w < 1e300; }),
          "a load is negative or not finite.");
  for (const std::int64_t count : counts) {
    require(count >= 1 && count <= (Index{1} << 30), "a count is not in 1..2**30.");
  }
}

Index sum(std::span<const std::int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), Index{0});
}

NumpyRow<std::int64_t> refill(const Numbers& load, const Integers& counts, Index num_slots) {
  require_counts(view(load), view(counts));
  require(num_slots >= std::ssize(view(counts)) && num_slots <= (Index{1} << 30),
          "num_slots is at least the number of experts and at most 2**30.");
  std::vector<std::int64_t> filled(view(counts).begin(), view(counts).end());
  {
    nb::gil_scoped_release unlocked;
    pairs::refill(view(load), filled, num_slots);
  }
  return to_numpy(std::move(filled));
}

std::pair<double, double> rate(const Numbers& load, const Integers& counts,
                               std::pair<Index, Index> move, double level) {
  require_counts(view(load), view(counts));
  const auto [giver, taker] = move;
  const Index num_experts = std::ssize(view(load)), num_slots = sum(view(counts));
  require(std::min(giver, taker) >= -1 && std::max(giver, taker) < num_experts,
          "a move names an expert that there is not.");
  require(giver < 0 || (giver != taker && view(counts)[giver] > 1),
          "an expert gives a replica to itself, or its only one.");
  pairs::SortedReplicas replicas(view(load), num_slots);
  replicas.sort(view(counts));
  const pairs::Worth worth = replicas.rate({giver, taker}, level);
  return {worth.above, worth.largest};
}

std::pair<NumpyRow<std::int64_t>, double> search_counts(const Numbers& load,
                                                        const Integers& counts,
                                                        std::pair<Integers, Integers> limits,
                                                        std::pair<double, double> aim,
                                                        std::pair<Index, double> budget) {
  require_counts(view(load), view(counts));
  require_size("lowest", std::ssize(view(limits.first)), std::ssize(view(load)));
  require_size("highest", std::ssize(view(limits.second)), std::ssize(view(load)));
  require(aim.second >= 0 && aim.second <= 1, "a share to aim at is not in 0..1.");
  const Deadline deadline = Deadline::after(budget.second);
  pairs::CountSearch search(view(load), view(counts), sum(view(counts)));
  {
    nb::gil_scoped_release unlocked;
    search.run({view(limits.first), view(limits.second)}, {aim.first, aim.second}, budget.first,
               deadline);
  }
  const auto best = search.best_counts();
  return {to_numpy(std::vector(best.begin(), best.end())), search.best()};
}

}  // namespace

void add_pairs_counts(nb::module_& chapter) {
  chapter.def("refill", &refill, nb::arg("load").noconvert(), nb::arg("counts").noconvert(),
              nb::arg("num_slots"),
              "Counts made to use all slots: off the lightest replicas, or more of the heaviest.\n\n"
              "`load` is float64 [num_experts], `counts` int64 [num_experts], at least 1.");
  chapter.def("rate", &rate, nb::arg("load").noconvert(), nb::arg("counts").noconvert(),
              nb::arg("move"), nb::arg("level"),
              "What the pairs exceed the level by together, and the largest pair, after a move.\n\n"
              "The slots are as many as the counts. `move` is (giver, taker), -1 for none.");
  chapter.def("search_counts", &search_counts, nb::arg("load").noconvert(),
              nb::arg("counts").noconvert(), nb::arg("limits").noconvert(), nb::arg("aim"),
              nb::arg("budget"),
              "Moves of replicas, until all pairs are at most a bound; the best counts and their\n"
              "largest pair.\n\n"
              "`limits` are (lowest, highest), int64 [num_experts]; `aim` is (bound, share): wanted\n"
              "is this share of the way from the bound up to the best so far; `budget` is (moves,\n"
              "seconds).");
}

}  // namespace eplb::bind
