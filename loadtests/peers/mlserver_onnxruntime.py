"""MLServer with a custom runtime, as its guide to them shows. Runs in MLServer's environment."""

from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from loadtests.peers.peer_session import open_session


class OnnxModel(MLModel):  # type: ignore[misc]
    """The file that the environment names."""

    async def load(self) -> bool:
        """Open it; true: it is ready."""
        self._session = open_session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request, or one batch that MLServer has put together."""
        feed = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        outputs = zip(self._session.outputs, self._session.raw.run(None, feed), strict=True)
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, array) for name, array in outputs],
        )
