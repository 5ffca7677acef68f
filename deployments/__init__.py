"""Ray Serve: gateways, keeper and replicas. This is the only room that imports ray."""
