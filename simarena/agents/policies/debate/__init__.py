"""Reference policies of debate, with their expected values."""
