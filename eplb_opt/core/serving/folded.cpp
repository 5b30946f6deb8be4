#include "serving/folded.hpp"

namespace eplb::serving {

namespace {

// One in so many transfers goes to any replica's expert, not to one on the heaviest GPU.
constexpr std::int64_t kElsewhere = 4;

// An expert's replicas after a transfer.
struct Replicas {
  std::int64_t expert, size;
  Index left;  // that are not written yet

  bool precede(std::int64_t other_size) const { return left > 0 && size > other_size; }
};

// Writes replicas by descending size in folded order.
class FoldedWriter {
 public:
  explicit FoldedWriter(const Plan& plan) : plan_(plan) {}

  static Index slot_of(Index rank, Index num_gpus) {
    return rank < num_gpus ? rank : 3 * num_gpus - 1 - rank;
  }

  void put(std::int64_t expert, std::int64_t size) {
    const Index slot = slot_of(written_++, plan_.num_gpus());
    plan_.expert[slot] = expert;
    plan_.size[slot] = size;
  }
  void put(Replicas& replicas) {
    put(replicas.expert, replicas.size);
    --replicas.left;
  }

 private:
  const Plan& plan_;
  Index written_ = 0;
};

// The heavier of two experts' replicas, the first one's of equals, that are heavier than `size`.
void put_heavier(FoldedWriter& writer, Replicas& donor, Replicas& taker, std::int64_t size) {
  while (donor.precede(size) || taker.precede(size)) {
    const bool is_donor = donor.left > 0 && (taker.left == 0 || donor.size >= taker.size);
    writer.put(is_donor ? donor : taker);
  }
}

// Write the plan's replicas with two experts' replaced.
void merge(const Plan& plan, const Plan& trial, Replicas donor, Replicas taker) {
  FoldedWriter writer(trial);
  for (Index rank = 0; rank < plan.num_slots(); ++rank) {
    const Index slot = FoldedWriter::slot_of(rank, plan.num_gpus());
    const std::int64_t expert = plan.expert[slot], size = plan.size[slot];
    if (expert == donor.expert || expert == taker.expert) continue;
    put_heavier(writer, donor, taker, size);
    writer.put(expert, size);
  }
  put_heavier(writer, donor, taker, -1);
}

// Add up the trial's GPUs; whether none exceeds `ceiling`.
bool keeps_below(const Plan& trial, std::int64_t ceiling) {
  const Index num_gpus = trial.num_gpus();
  for (Index gpu = 0; gpu < num_gpus; ++gpu) {
    trial.load[gpu] = trial.size[gpu] + trial.size[num_gpus + gpu];
    if (trial.load[gpu] > ceiling) return false;
  }
  return true;
}

}  // namespace

void shift_copy(const Plan& plan, const Plan& trial, std::span<const std::int64_t> weight,
                Random& random) {
  const Index heavy = plan.heaviest();
  const std::int64_t ceiling = plan.load[heavy];
  Index spot = heavy + plan.num_gpus() * random.draw(2);
  if (random.draw(kElsewhere) == 0) spot = random.draw(plan.num_slots());
  const std::int64_t taker = plan.expert[spot];
  const std::int64_t donor = plan.expert[random.draw(plan.num_slots())];
  const std::int64_t kept = plan.count[donor] - 1, grown = plan.count[taker] + 1;
  if (donor == taker || kept < 1 || weight[donor] / kept >= ceiling) return;
  merge(plan, trial, {donor, weight[donor] / kept, kept}, {taker, weight[taker] / grown, grown});
  if (!keeps_below(trial, ceiling)) return;
  std::ranges::copy(trial.expert, plan.expert.begin());
  std::ranges::copy(trial.size, plan.size.begin());
  std::ranges::copy(trial.load, plan.load.begin());
  plan.count[donor] = kept;
  plan.count[taker] = grown;
}

}  // namespace eplb::serving
