"""Small random changes of plans, and a second, much smaller playback."""

from collections import Counter

from hypothesis import strategies as st

from eplb_opt import ProblemError, transfers


@st.composite
def changes(draw, max_layers=3, max_gpus=6, max_slots=4, max_staging=2):
    """Two maps and options for `transfers`: replicas, empty slots, cycles, nodes, lost GPUs."""
    num_nodes = draw(st.sampled_from([1, 1, 2, 3]))
    num_gpus = num_nodes * draw(st.integers(1, max_gpus // num_nodes))
    num_slots = num_gpus * draw(st.integers(1, max_slots))
    num_experts = draw(st.integers(1, num_slots))
    least = -draw(st.integers(0, 1))
    alive = draw(st.lists(st.booleans(), min_size=num_gpus, max_size=num_gpus))
    alive = alive if draw(st.booleans()) and any(alive) else [True] * num_gpus
    current, plan = [], []
    for _ in range(draw(st.integers(1, max_layers))):
        ids = st.lists(st.integers(least, num_experts - 1), min_size=num_slots, max_size=num_slots)
        old = draw(ids)
        new = draw(st.permutations(old) | ids)
        current.append(old)
        plan.append([e if alive[p * num_gpus // num_slots] else -1 for p, e in enumerate(new)])
    options = {
        "num_gpus": num_gpus,
        "num_nodes": num_nodes,
        "active_gpus": alive,
        "staging_slots": draw(st.integers(0, max_staging)),
        "max_in_flight": draw(st.sampled_from([None, None, 1, 2])),
    }
    return current, plan, options


def schedule_or_none(current, plan, options):
    """The schedule; None where a cycle needs a staging slot and none is allowed."""
    try:
        return transfers(current, plan, **options)
    except ProblemError as error:
        assert options["staging_slots"] == 0
        assert "staging_slots=1" in str(error)
        return None


def carried_out(current, batches, num_gpus, staging_slots):
    """The memory after the batches, {(layer, slot): expert}, each source and GPU looked at."""
    num_slots = len(current[0])
    memory = {(i, p): expert for i, row in enumerate(current) for p, expert in enumerate(row)}
    for batch in batches:
        gpus = Counter(g for t in batch for g in {t.source_gpu, t.destination_gpu} if g >= 0)
        assert not gpus or max(gpus.values()) == 1
        read = [
            t.expert_idx
            if t.source_slot < 0
            else memory[place(t.layer_idx, t.source_slot, num_slots)]
            for t in batch
        ]
        assert read == [t.expert_idx for t in batch]
        for t in batch:
            memory[place(t.layer_idx, t.destination_slot, num_slots)] = t.expert_idx
            for gpu, slot in (t[2:4], t[4:6]):
                assert gpu == gpu_of(slot, num_slots, num_gpus, staging_slots)
    return memory


def place(layer_idx, slot, num_slots):
    """Where it lies: staging slots are shared by the layers."""
    return (layer_idx, slot) if slot < num_slots else ("staging", slot)


def gpu_of(slot, num_slots, num_gpus, staging_slots):
    if slot < 0:
        return -1
    if slot >= num_slots:
        return (slot - num_slots) // staging_slots
    return slot * num_gpus // num_slots
