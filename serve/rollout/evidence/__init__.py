"""The evidence of a rollout: sums from which its verdicts can be computed again."""
