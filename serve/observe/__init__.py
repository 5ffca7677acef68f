"""What is to be seen of a running server: metrics, a log of requests, traces."""
