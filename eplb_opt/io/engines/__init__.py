"""What each serving engine reads and writes, one module a format."""
