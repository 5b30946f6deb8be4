#include <algorithm>
#include <limits>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/chapters.hpp"
#include "scoring/dealing.hpp"
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

void deal(const Row<const std::uint32_t>& state, const Row<const std::int64_t>& left,
          const Row<const std::int64_t>& odd, const Row<const std::int64_t>& count,
          const Row<const std::int64_t>& start, const Row<std::int64_t>& extra) {
  const auto words = view(state);
  const scoring::Deal experts{view(left), view(odd), view(count), view(start)};
  const auto found = view(extra);
  require_size("state", std::ssize(words), scoring::Twister::kWords + 1);
  require(words.back() <= scoring::Twister::kWords, "state has used up more words than it has.");
  const Index num_experts = std::ssize(experts.left);
  require_size("odd", std::ssize(experts.odd), num_experts);
  require_size("count", std::ssize(experts.count), num_experts);
  require_size("start", std::ssize(experts.start), num_experts);
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  for (Index i = 0; i < num_experts; ++i) {
    require(experts.left[i] > 0 && experts.left[i] <= most, "left holds what is no such number.");
    require(experts.count[i] > 0 && experts.count[i] <= most, "count holds what is no such number.");
    require(experts.odd[i] >= 0 && experts.odd[i] < experts.count[i],
            "odd holds a number that is below 0, or not below the expert's count.");
    require(experts.start[i] >= 0 && experts.count[i] <= std::ssize(found) &&
                experts.start[i] <= std::ssize(found) - experts.count[i],
            "Replicas of an expert are beyond the end of extra.");
  }
  for (const std::int64_t value : found) require(value == 0, "extra holds what is not 0.");
  nb::gil_scoped_release unlocked;
  scoring::Twister draws(words);
  scoring::deal(draws, experts, found);
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
  chapter.def("deal", &deal, nb::arg("state").noconvert(), nb::arg("left").noconvert(),
              nb::arg("odd").noconvert(), nb::arg("count").noconvert(),
              nb::arg("start").noconvert(), nb::arg("extra").noconvert(),
              "Deal the odd senders of experts to their replicas, as Python's `random` draws them.\n\n"
              "`state` is uint32 [625], the second entry of `random.Random(seed).getstate()`. For\n"
              "each expert, int64 [num_experts], `left` are the senders to be dealt, `odd` those of\n"
              "them beyond equally many a replica, `count` the replicas and `start` the place of the\n"
              "first. Written is `extra`, int64 [num_replicas] of zeros: 1 for a replica that gets\n"
              "one. Taken from the sequence is what `sample(range(count), odd)` and `shuffle` of a\n"
              "list of `left` take.");
}

}  // namespace eplb::bind
