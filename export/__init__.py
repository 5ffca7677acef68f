"""Turns trained models into bundles. Only this package imports torch."""

import os

# As in serve: some of our modules import onnxruntime before they import anything of serve.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
