"""How an expert's tokens are split over its copies so that the largest GPU load is least."""
