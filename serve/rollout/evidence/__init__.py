"""The evidence: sums over a rollout from which its verdicts can be computed again."""
