"""What is remembered of a row beside its plan: columns of int64 [num_rows, NUM_MARKS]."""

from __future__ import annotations

#: State of the random numbers; largest GPU load of the plan saved as the best; the least of it
#: and the present plan's; bits that the 32-bit search drops; whether sweeps have had their time;
#: load of the row, and of its largest replica.
RANDOM, BEST, REACHED, SHIFT, SWEPT, TOTAL, LARGEST = range(7)
NUM_MARKS = 7
#: The same for every layer, so that a layer's plan depends on its loads alone.
SEED = 88172645463325252
