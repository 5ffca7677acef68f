"""A small real HTTP server that answers each path with what a test chose."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Path -> status and content: text goes out as HTML, all else as JSON.
Answers = Mapping[str, tuple[int, Any]]


@contextmanager
def open_desk(answers: Answers) -> Iterator[str]:
    """Return the URL. Besides `answers`, /echo returns what is posted, and /closed needs the token
    `secret`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/closed":
                self._answer(*answers.get(self.path, (404, {"error": "unknown"})))
            elif self.headers["Authorization"] == "Bearer secret":
                self._answer(200, {"open": True})
            else:
                self._answer(401, {"error": "a token is asked for"})

        def do_POST(self) -> None:
            self._answer(200, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, status: int, content: Any) -> None:
            text = content if isinstance(content, str) else json.dumps(content)
            self.send_response(status)
            kind = "text/html" if isinstance(content, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
