"""Tournaments: which matches to play next, and what they say about who is better.

Pure functions over records: no file, clock, network, environment or model.
"""
