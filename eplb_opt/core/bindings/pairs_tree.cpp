#include <memory>
#include <mutex>

#include "bindings/pairs_parts.hpp"
#include "common/clock.hpp"
#include "pairs/tree.hpp"

namespace eplb::bind {

namespace {

using pairs::Tree;

// A tree that one thread after the other may use. Who waits for it does not hold the interpreter's
// lock, so that who has it can get that.
class GuardedTree {
 public:
  GuardedTree(const pairs::Layer& layer, pairs::Wide level, double best)
      : tree_(layer, level, best) {}

  template <typename Work>
  auto use(Work work) {
    nb::gil_scoped_release unlocked;
    const std::lock_guard lock(mutex_);
    return work(tree_);
  }

 private:
  std::mutex mutex_;
  Tree tree_;
};

void make_tree(GuardedTree* self, const pairs::Layer& layer, const nb::int_& level, double best) {
  const pairs::Wide units = level_in_range(level);
  nb::gil_scoped_release unlocked;
  new (self) GuardedTree(layer, units, best);
}

void begin_at(GuardedTree& self, const Numbers& running) {
  const Index num_rows =
      self.use([](const Tree& tree) { return std::ssize(tree.level().threshold); });
  require_running(view(running), num_rows);
  self.use([&](Tree& tree) { tree.begin_at(view(running)); });
}

Index grow(GuardedTree& self, Index nodes, double seconds) {
  const Deadline deadline = Deadline::after(seconds);
  return self.use([&](Tree& tree) { return tree.grow(nodes, deadline); });
}

std::optional<bool> decide(GuardedTree& self, double seconds) {
  const Deadline deadline = Deadline::after(seconds);
  return self.use([&](Tree& tree) { return tree.decide(deadline); });
}

Index num_labels(GuardedTree& self) {
  return self.use([](const Tree& tree) { return tree.num_labels(); });
}

bool has_given_up(GuardedTree& self) {
  return self.use([](const Tree& tree) { return tree.has_given_up(); });
}

NumpyRow<std::int64_t> best_counts(GuardedTree& self) {
  return to_numpy(self.use([](const Tree& tree) {
    return std::vector(tree.best_counts().begin(), tree.best_counts().end());
  }));
}

NumpyRow<double> root_running(GuardedTree& self) {
  return to_numpy(self.use([](const Tree& tree) {
    const auto running = tree.root_running();
    return running.empty() ? std::vector<double>()
                           : std::vector(running.begin() + 1, running.end());
  }));
}

pairs::Level options_left(GuardedTree& self) {
  return self.use([](const Tree& tree) {
    require(!tree.root_running().empty(), "the root is not done.");
    return pairs::Level{tree.options_left(), tree.level().threshold};
  });
}

Index most_cells(GuardedTree& self) {
  return self.use([](const Tree& tree) { return tree.trace().most_cells; });
}

ListOfIntegers tree_thresholds(GuardedTree& self) {
  return thresholds({{}, self.use([](const Tree& tree) { return tree.level().threshold; })});
}

nb::typed<nb::dict, nb::str, NumpyRow<std::int64_t>> trace(GuardedTree& self) {
  pairs::Trace found = self.use([](const Tree& tree) { return tree.trace(); });
  nb::typed<nb::dict, nb::str, NumpyRow<std::int64_t>> lists;
  lists["rounds"] = to_numpy(std::move(found.rounds));
  lists["expert"] = to_numpy(std::move(found.expert));
  lists["count"] = to_numpy(std::move(found.count));
  lists["entries"] = to_numpy(std::move(found.entries));
  lists["row"] = to_numpy(std::move(found.row));
  lists["price"] = to_numpy(std::move(found.price));
  return lists;
}

bool is_closed(GuardedTree& self) {
  return self.use([](const Tree& tree) { return tree.is_closed(); });
}

bool is_stuck(GuardedTree& self) {
  return self.use([](const Tree& tree) { return tree.is_stuck(); });
}

bool is_root_done(GuardedTree& self) {
  return self.use([](const Tree& tree) { return !tree.root_running().empty(); });
}

bool has_found(GuardedTree& self) {
  return self.use([](const Tree& tree) { return tree.has_found(); });
}

Index num_nodes(GuardedTree& self) {
  return self.use([](const Tree& tree) { return std::ssize(tree.trace().rounds); });
}

}  // namespace

void add_pairs_tree(nb::module_& chapter) {
  nb::class_<GuardedTree>(chapter, "Tree",
                          "A branch and bound at one level.\n\n"
                          "Only counts worth less than `best` tokens are of interest.")
      .def("__init__", &make_tree, nb::arg("layer"), nb::arg("level"), nb::arg("best"))
      .def("begin_at", &begin_at, nb::arg("running").noconvert(),
           "Running sums of prices that the root begins at, float64 [num_rows], ascending.")
      .def("grow", &grow, nb::arg("nodes"), nb::arg("seconds"),
           "Work on so many nodes, or until better counts come up; the rounds made.\n\n"
           "A call that the seconds end is taken up by the next one.")
      .def("decide", &decide, nb::arg("seconds"),
           "Dynamic programming over what the root left: True with counts that fit the level\n"
           "in at most the slots, False when there are none, None where it does not tell.\n"
           "It leaves no proof.")
      .def_prop_ro("num_labels", &num_labels, "Labels that `decide` has looked at so far.")
      .def_prop_ro("has_given_up", &has_given_up, "Whether `decide` will never tell.")
      .def_prop_ro("is_closed", &is_closed, "Whether the level is proven to be out of reach.")
      .def_prop_ro("is_stuck", &is_stuck,
                   "Whether counts of at most the level are worth no less than `best` to float64.")
      .def_prop_ro("is_root_done", &is_root_done, "Whether the root's rounds are over.")
      .def_prop_ro("has_found", &has_found, "Whether the last call came upon better counts.")
      .def_prop_ro("num_nodes", &num_nodes, "Nodes begun so far.")
      .def_prop_ro("best_counts", &best_counts, kOwned,
                   "The counts found, int64 [num_experts], or none.")
      .def_prop_ro("root_running", &root_running, kOwned,
                   "Running sums of the root's prices, float64 [num_rows]; none before they are over.")
      .def("options_left", &options_left,
           "Options that are enough for every plan that reaches the level, once the root is done.")
      .def_prop_ro("most_cells", &most_cells,
                   "Options times (rows with a price + 1) of the proof's largest round: what a\n"
                   "verifier has to hold at once.")
      .def_prop_ro("threshold", &tree_thresholds, "Keys in units, ascending, one a row.")
      .def("trace", &trace,
           "The proof so far, a dict of int64 arrays: `rounds`, `expert`, `count` one a node,\n"
           "`entries` one a round, `row`, `price` one an entry.");
}

}  // namespace eplb::bind
