"""What is asked: loads, slots, GPUs, nodes and rules, validated once and then trusted.

`problem.Problem` is what every other room takes. Loads become integers of a small unit here
(`units`), so that everything above can compute exactly.
"""
