"""The only room that runs a model for play. Knows requests and completions; knows no match, seat or environment."""
