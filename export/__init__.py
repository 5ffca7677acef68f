"""From a trained model to bundles. The only room that names torch."""

import os

# As in serve: some of our files import onnxruntime before anything of serve.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
