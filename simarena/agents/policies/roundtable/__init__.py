"""Reference policies of roundtable, with their expected values."""
