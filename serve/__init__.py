"""The serving library: bundles, sessions, routing and the wire. Needs no torch, no ray, no locust."""
