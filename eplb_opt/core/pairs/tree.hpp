// Is there a plan of at most a level? A branch and bound that leaves a proof.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/clock.hpp"
#include "pairs/ascent.hpp"
#include "pairs/decider.hpp"
#include "pairs/layer.hpp"
#include "pairs/options.hpp"
#include "pairs/prover.hpp"
#include "pairs/replicas.hpp"
#include "pairs/rows.hpp"

namespace eplb::pairs {

// The proof that a level is out of reach: a tree in preorder, as lists of integers.
//
// Each node has rounds: prices of rows, which either close the node or strike options off. A node
// that stays open branches on an expert: counts up to a number first, those above it second.
struct Trace {
  std::vector<std::int64_t> rounds, expert, count;  // one a node; -1, -1 where it is closed
  std::vector<std::int64_t> entries;                // one a round, how many rows have a price
  std::vector<std::int64_t> row, price;             // one an entry
  Index most_cells = 0;  // of any round: its options times (its entries + 1), which a verifier fills

  void open_node();
  void add_round(std::span<const std::int64_t> price_of_row, Index num_options);
};

// The search at one level, a node at a time, depth first.
//
// A node is bounded by the Lagrangian bound on the replicas that it takes (`Prover`), its prices
// found by dual ascent (`Ascent`). Options too dear for the slots are struck off, which lowers the
// needs of the rows and so tightens them: hence several rounds.
class Tree {
 public:
  // Only counts worth less than `best` are of interest.
  Tree(const Layer& layer, Wide level, double best);
  Tree(const Tree&) = delete;  // its parts look at each other
  Tree& operator=(const Tree&) = delete;

  // Where the root begins: running sums of prices, [num_rows], ascending.
  void begin_at(std::span<const double> running);

  // Work on the nodes that wait until so many are done, better counts come up, or the deadline is
  // over, in which case the next call goes on where this one stopped. Returns the rounds made.
  Index grow(Index nodes, const Deadline& deadline);

  // Dynamic programming over what the root left (`Decider`): true with counts that fit the level in
  // at most as many slots as there are, false when there are none; nothing before the root is done,
  // when labels grow too many, or at the deadline, after which the next call goes on. It leaves no
  // proof.
  std::optional<bool> decide(const Deadline& deadline);
  // Labels that it has looked at so far, for counted work, and whether another call says the same.
  Index num_labels() const { return decider_ ? decider_->num_tried() : 0; }
  bool has_given_up() const { return decider_ && decider_->has_given_up(); }

  bool is_closed() const { return stack_.empty(); }
  // A node without choice is open: its counts fit the level, even where float64 sees no difference.
  bool is_stuck() const { return is_stuck_; }
  // Whether the last call came upon better counts, or upon those of a node that is stuck.
  bool has_found() const { return has_found_; }
  std::span<const std::int64_t> best_counts() const { return best_counts_; }

  const Level& level() const { return level_; }
  // Once the root is done: options that are enough for every plan that reaches the level.
  const Options& options_left() const { return decider_ ? decider_->options() : level_.options; }
  const Trace& trace() const { return trace_; }
  // The running sums of the root's prices, [num_rows + 1]; empty before the root is done.
  std::span<const double> root_running() const { return root_running_; }

 private:
  struct Node {
    std::vector<std::int32_t> kept;  // options, by number
    std::vector<double> running;       // sums of prices, [num_rows + 1]
    Index rounds = 0;
    bool makes_progress = true;        // whether another round is worth it
  };
  enum class Verdict { kClosed, kOpen, kStuck, kPaused };
  struct Branch {
    Index expert;
    std::int32_t count;
  };

  bool is_at_root() const { return trace_.rounds.size() == 1; }
  Verdict work(Node& node, const Deadline& deadline);
  bool has_another_round(const Node& node) const;
  std::int64_t replicas_proven(Node& node);
  void find_prices(Node& node);
  void strike_off(Node& node, std::int64_t most_excess);
  void try_counts();
  void keep_counts_of_stuck();
  double indecision(Index expert) const;
  Branch choose_branch() const;
  void branch();
  void forget_struck_off();

  Index num_slots_;
  std::vector<double> load_;
  Level level_;
  std::vector<Node> stack_;
  Trace trace_;
  std::vector<double> root_running_;
  double best_;
  std::vector<std::int64_t> best_counts_;
  bool is_stuck_ = false, has_found_ = false;

  std::optional<Decider> decider_;

  // Of the node at work.
  Options left_;
  Rows rows_;
  Ascent ascent_;
  Prover prover_;
  SortedReplicas replicas_;
  std::vector<double> weight_;
  std::vector<std::int64_t> price_, excess_, counts_;
};

}  // namespace eplb::pairs
