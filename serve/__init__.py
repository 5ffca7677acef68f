"""The serving library: bundles, sessions, routing and the protocol. Works without torch, Ray and Locust."""

import os

# onnxruntime reports usage to its vendor unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
