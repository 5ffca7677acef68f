"""An MLServer custom runtime, written as in MLServer's guide. Runs in MLServer's environment."""

from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from loadtests.peers.peer_session import open_session


class OnnxModel(MLModel):  # type: ignore[misc]
    """Serves the file in the environment variable."""

    async def load(self) -> bool:
        """Open the file; True means ready."""
        self._session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request, or a batch that MLServer has assembled."""
        feed = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        outputs = zip(self._session.outputs, self._session.raw.run(None, feed), strict=True)
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, array) for name, array in outputs],
        )
