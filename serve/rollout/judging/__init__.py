"""The statistics of a rollout. Pure functions: evidence in, findings and verdicts out."""
