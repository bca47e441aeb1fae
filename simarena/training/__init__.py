"""Training: scored decisions, losses, and what turns preferences into adapters."""

from simarena.threads import sleep_while_waiting

sleep_while_waiting()  # torch, which this room loads, reads it once
