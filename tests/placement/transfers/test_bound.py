"""The bound on batches against the fewest there are, by trying every batch."""

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from eplb_opt import ProblemError, transfers
from tests.placement.transfers.changes import carried_out

MOST_STATES = 20_000


class Tries:
    """All that can be done in one batch; slots of all layers in one row, staging slots last."""

    def __init__(self, current, plan, num_gpus, staging_slots, max_in_flight):
        self.num_slots = len(plan[0])
        self.staging = [g for g in range(num_gpus) for _ in range(staging_slots)]
        self.goal = [(i, e) for i, row in enumerate(plan) for e in row]
        self.start = tuple((i, e) for i, row in enumerate(current) for e in row)
        self.gpus = [p * num_gpus // self.num_slots for row in plan for p in range(self.num_slots)]
        self.gpus += self.staging
        self.limit = max_in_flight or num_gpus

    def fewest(self):
        """The fewest batches from the start to the goal; None where it cannot be reached."""
        states, seen = {self.start + (None,) * len(self.staging)}, set()
        batches = 0
        while not any(self.is_done(state) for state in states):
            seen |= states
            if len(seen) > MOST_STATES:
                reject()
            states = {new for state in states for new in self.after(state, 0, state, set())} - seen
            if not states:
                return None
            batches += 1
        return batches

    def is_done(self, state):
        return all(e < 0 or state[p] == (i, e) for p, (i, e) in enumerate(self.goal))

    def after(self, state, first, new, busy, num=0):
        """All states after batches that write from the slot `first` on."""
        yield new
        if num == self.limit:
            return
        for slot in range(first, len(state)):
            gpu = self.gpus[slot]
            if gpu in busy:
                continue
            for source, held in self.sources(state, slot):
                ends = {gpu} if source is None else {gpu, self.gpus[source]}
                if not ends & busy:
                    wrote = (*new[:slot], held, *new[slot + 1 :])
                    yield from self.after(state, slot + 1, wrote, busy | ends, num + 1)

    def sources(self, state, slot):
        """What can be written into a slot, and from where; None is storage."""
        if slot >= len(self.goal):
            yield from ((p, held) for p, held in enumerate(state) if held and held[1] >= 0)
            return
        wanted = self.goal[slot]
        if wanted[1] < 0 or state[slot] == wanted:
            return
        if wanted not in self.start:
            yield None, wanted
        yield from ((p, wanted) for p, held in enumerate(state) if held == wanted)


@st.composite
def tiny_changes(draw):
    num_gpus = draw(st.integers(1, 3))
    num_layers = draw(st.sampled_from([1, 1, 2]))
    num_slots = num_gpus * draw(st.integers(1, 2 if num_layers == 1 else 1))
    ids = st.lists(st.integers(-1, 3), min_size=num_slots, max_size=num_slots)
    current = [draw(ids) for _ in range(num_layers)]
    plan = [draw(st.permutations(row) | ids) for row in current]
    return current, plan, num_gpus, draw(st.integers(0, 1)), draw(st.sampled_from([None, None, 1]))


@settings(max_examples=150, deadline=None)
@given(change=tiny_changes())
def test_no_schedule_is_below_the_bound_and_ours_exists_where_any_does(change):
    current, plan, num_gpus, staging_slots, max_in_flight = change
    fewest = Tries(*change).fewest()
    try:
        schedule = transfers(
            current, plan, num_gpus, staging_slots=staging_slots, max_in_flight=max_in_flight
        )
    except ProblemError:
        assert fewest is None
        return
    assert schedule.lower_bound <= fewest <= len(schedule)
    carried_out(current, schedule, num_gpus, staging_slots)
