"""roundtable: solvers who discuss one task."""
