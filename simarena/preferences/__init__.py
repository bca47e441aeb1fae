"""Preferences from play: builders read records, filters drop what would teach nothing, views export the rest."""
