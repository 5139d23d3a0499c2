"""A web server with range requests, which can be told to fail."""

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Failures:
    """What the next requests with a range get instead of an answer.

    Attributes:
        status: for each request in turn a status, "cut" for half an answer, or None for a whole one.
        ranges: of the requests that came.
        ignores_ranges: whether the server sends whole files whatever is asked.
    """

    def __init__(self):
        self.status, self.ranges, self.ignores_ranges = [], [], False


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args, failures, **options):
        self.failures = failures
        super().__init__(*args, **options)

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = self.headers.get("Range")
        file = Path(self.translate_path(self.path))
        if not file.is_file():
            self.send_error(404)
            return
        contents, status = file.read_bytes(), 200
        if asked and not self.failures.ignores_ranges:
            self.failures.ranges.append(asked)
            failure = self.failures.status.pop(0) if self.failures.status else None
            if isinstance(failure, int):
                self.send_error(failure)
                return
            first, last = asked.removeprefix("bytes=").split("-")
            contents, status = contents[int(first) : int(last) + 1], 206
            if failure == "cut":
                self.send_response(status)
                self.send_header("Content-Length", str(len(contents)))
                self.end_headers()
                self.wfile.write(contents[: len(contents) // 2])
                self.close_connection = True
                return
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(contents)))
        self.end_headers()
        self.wfile.write(contents)


@contextmanager
def serving(folder):
    """Serve a folder; yield its URL and what the server should do wrong."""
    failures = Failures()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder), failures=failures))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", failures
    finally:
        server.shutdown()
        server.server_close()
