"""The only room that runs a model for play. Knows requests and completions; knows no match, seat or environment."""

from simarena.threads import sleep_while_waiting

sleep_while_waiting()  # torch, which this room loads, reads it once
