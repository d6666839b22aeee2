"""A web server for a folder, on loopback: gzip and kept connections, as static hosts serve pages.

`python -m http.server` would do for correctness, but it compresses nothing and opens a connection a file, and
Lighthouse would then measure the server.
"""

import contextlib
import gzip
import threading
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMPRESSED = {".html", ".css", ".js", ".svg", ".json", ".ipynb", ".txt", ".xml"}


@cache
def compressed(path, modified):
    """The bytes of a file as they travel; a changed file is read anew."""
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder, compressed where that is worth it, without a log."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if path.suffix not in COMPRESSED or not path.is_file():
            super().do_GET()
            return
        body = compressed(path, path.stat().st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self):
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()

    def log_message(self, format, *args):
        """Say nothing: the tests look at what the browser received."""


class Server(ThreadingHTTPServer):
    """A server that does not mind a browser that leaves."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        """Closed connections are the browser's right; wrong answers are seen by the tests."""


@contextlib.contextmanager
def serve(folder):
    """Serve a folder on a free port; yields its address, which ends with a slash."""
    with Server(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
