"""What lives inside a serving process: drop-ins for the engines, one module an engine.

What every rank calls for itself goes through `every_rank`; `distributed` plans once for all ranks.
"""
