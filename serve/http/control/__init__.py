"""The control API: what is served, how its traffic is split and moved, and what came of it."""
