"""arena: contests whose answers are judged: duels, panels, populations, matrix games."""
