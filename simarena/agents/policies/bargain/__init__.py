"""Reference policies of bargain, with their expected values."""
