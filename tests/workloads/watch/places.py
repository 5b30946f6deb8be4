"""A folder with recordings, and a watch on it whose clock stands still until it is set."""

import os

import numpy as np

from eplb_opt.problem.machine import Machine
from eplb_opt.workloads.watch import Settings, Sources, Watch

LOAD = np.random.default_rng(0).lognormal(5, 1, (3, 24)).astype(np.int64)
MACHINE = Machine(32, 8)


class Place:
    """Recordings in `dumps`, the map beside that folder, and a clock."""

    def __init__(self, folder):
        self.folder, self.clock = folder, 1_000_000.0
        self.dumps, self.map = folder / "dumps", folder / "map.npz"
        self.dumps.mkdir()

    def record(self, name="a.npy", load=LOAD, at=0):
        """A recording, changed last at that second."""
        path = self.dumps / name
        np.save(path, load)
        os.utime(path, (at, at))
        return path

    def settings(self, *named, newest=1, **options):
        sources = Sources(tuple(named) or (self.dumps,), newest)
        return Settings(sources, MACHINE, self.map, **{"effort": 2, "workers": 1, **options})

    def watch(self, *named, **options):
        return Watch(self.settings(*named, **options), lambda: self.clock)


def drifted(seed, size=0.3):
    """Loads whose experts each have another factor."""
    return (LOAD * np.random.default_rng(seed).lognormal(0, size, LOAD.shape)).astype(np.int64)
