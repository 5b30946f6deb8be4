"""Loads over time: a recording condensed, replayed with re-planning, or planned at many sizes.

`representatives` turns a long recording into the few loads that one plan is to serve (windows,
recent steps, clusters by `k_means`). `replay` walks through a recording, plans from the past and
scores the plan on the steps that follow: use it to compare policies. `sizing` plans the same
loads on many numbers of slots and GPUs: use it to choose a size.
"""
