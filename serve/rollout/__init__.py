"""Rollouts: policies, evidence, judging, the trail, and the controller that moves traffic."""
