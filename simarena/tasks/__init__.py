"""Seeded generators with planted truth; one file per family."""
