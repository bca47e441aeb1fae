"""debate: debates before a judge, in six protocols."""
