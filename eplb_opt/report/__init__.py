"""Results as tables: data first, then how it is drawn."""
