"""The swarm: our open-loop load under Locust's own command, web page, and workers."""
