"""What lives inside a serving process."""
