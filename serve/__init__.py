"""The serving library: bundles, sessions, routing and the wire. Needs no torch, no ray, no locust."""

import os

# onnxruntime reports sessions to its vendor unless this stands before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
