"""Reference policies of arena, with their expected values."""
