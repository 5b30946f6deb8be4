"""The instance library and what is known of it."""
