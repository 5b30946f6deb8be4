"""Loads over time: a recording condensed, replayed, planned at many sizes, or seen by a step.

`representatives` turns a long recording into the few loads that one plan is to serve (windows,
recent steps, clusters by `k_means`). `replay` walks through a recording, plans from the past and
scores the plan on the steps that follow: use it to compare policies. `sizing` plans the same
loads on many numbers of slots and GPUs: use it to choose a size. `forecast` says what balancedness
a step of so many tokens will see, and `phases` tells prefill from decode in a recording of steps.
"""
