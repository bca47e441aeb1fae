"""Scripted reference policies: one file per environment, each with its expected values worked out in the open."""
