"""Training: scored decisions, losses, and what turns preferences into adapters."""
