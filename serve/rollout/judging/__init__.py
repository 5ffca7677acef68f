"""The statistics of a rollout: pure functions from evidence to findings and verdicts."""
