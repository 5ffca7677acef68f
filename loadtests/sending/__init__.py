"""What sends the load: schedules, requests, and the samples of what was answered."""
