#include "bindings/share_rules.hpp"

namespace eplb::bind {

namespace {

using shares::ByCount;
using shares::Nearest;
using shares::RankModulo;

// Tables have a column for each number of replicas.
constexpr Index kMostCopies = 1024;
constexpr Index kMostSlots = Index{1} << 30;

void require_most(Index most) {
  require(1 <= most && most <= kMostCopies,
          "most is not in 1.." + std::to_string(kMostCopies) + ".");
}

ByCount make_by_count(Index most) {
  require_most(most);
  return ByCount(most);
}

RankModulo make_rank_modulo(Index num_senders, Index most) {
  require_most(most);
  require(1 <= num_senders && num_senders <= kMostSlots, "num_senders is below 1, or too large.");
  return RankModulo(num_senders, most);
}

Nearest make_nearest(const Row<const Index>& node, const Row<const Index>& first, Index most) {
  require_most(most);
  const auto nodes = view(node), slots = view(first);
  require(!nodes.empty(), "There is no GPU.");
  require_size("first", std::ssize(slots), std::ssize(nodes) + 1);
  require(slots[0] == 0 && slots.back() <= kMostSlots, "first does not begin with 0, or ends too late.");
  Index last = -1;
  for (std::size_t gpu = 0; gpu < nodes.size(); ++gpu) {
    require(slots[gpu] < slots[gpu + 1], "A GPU has no slot.");
    require(nodes[gpu] == last || nodes[gpu] == last + 1,
            "node does not go up from 0 by steps of at most 1.");
    last = nodes[gpu];
  }
  require(nodes[0] == 0, "node does not go up from 0 by steps of at most 1.");
  return Nearest(nodes, slots, most);
}

}  // namespace

void add_share_rules(nb::module_& chapter) {
  nb::class_<ByCount>(chapter, "ByCount",
                      "All replicas of an expert carry the same; the column is their number.\n\n"
                      "No expert has more than `most` replicas, 1 to 1024; the last column is `most`.")
      .def(nb::new_(&make_by_count), nb::arg("most"));
  nb::class_<RankModulo>(chapter, "RankModulo",
                         "The GPUs that send take the replicas in turn, in the order of slots.\n\n"
                         "The column of a replica is how many of the `num_senders` GPUs send to it.\n"
                         "No expert has more than `most` replicas.")
      .def(nb::new_(&make_rank_modulo), nb::arg("num_senders"), nb::arg("most"));
  nb::class_<Nearest>(chapter, "Nearest",
                      "A GPU sends to a replica on itself, else on its node, else to any.\n\n"
                      "`node` (int64 [num_gpus], ascending from 0) is the node of each GPU, `first`\n"
                      "(int64 [num_gpus + 1]) its first slot, and the end of the last. The column of\n"
                      "a replica is the largest number of GPUs that may send to it, and the last\n"
                      "column all of them.")
      .def(nb::new_(&make_nearest), nb::arg("node"), nb::arg("first"), nb::arg("most"));
}

}  // namespace eplb::bind
