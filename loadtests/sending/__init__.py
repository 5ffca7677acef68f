"""Sends the load: schedules, requests, and the samples of their answers."""
