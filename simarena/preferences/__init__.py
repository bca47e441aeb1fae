"""Preferences from play: builders read a run's records, filters drop what would teach nothing, views export the rest."""
