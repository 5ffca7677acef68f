"""What a rollout counts and decides."""
