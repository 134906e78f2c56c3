"""A scan for neuroglancer: its stores over HTTP, to this computer alone, and the link that opens them.

Only files of the stores that are shown can be fetched, only by GET, and only by pages of neuroglancer: the address is
the loopback interface, requests under other names are refused, and no other page may read the answers.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ..layout import StoreLayout
from .layers import shown_greys
from .scan import FinishedScan

ADDRESS = "127.0.0.1"
NEUROGLANCER = "https://neuroglancer-demo.appspot.com"
_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")
_BLOCK = 2**20


class StoreServer(ThreadingHTTPServer):
    """Serves stores by their names until it is shut down.

    Parameters
    ----------
    stores : dict
        Folders by the name under which they appear.
    port : int
        0 for any that is free.
    """

    daemon_threads = True

    def __init__(self, stores: dict[str, Path], port: int = 0) -> None:
        self.stores = {name: path.resolve() for name, path in stores.items()}
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{ADDRESS}:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StoreServer

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_OPTIONS(self) -> None:
        """Answer a browser that asks before it lets a page on the web read from this computer."""
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Access-Control-Allow-Methods", "GET, HEAD")
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Access-Control-Allow-Private-Network", "true")
        self.end_headers()

    def _answer(self, with_content: bool) -> None:
        path = self._file() if self._is_asked_by_name() else None
        if path is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        size = path.stat().st_size
        window = _window(self.headers.get("Range", ""), size)
        if window is None:
            self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        start, stop = window
        is_part = "Range" in self.headers
        self.send_response(HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK)
        if is_part:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Type", "application/json" if path.suffix == ".json" else "application/octet-stream")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if with_content:
            self._send(path, start, stop)

    def _send(self, path: Path, start: int, stop: int) -> None:
        with path.open("rb") as file:
            file.seek(start)
            while start < stop and (block := file.read(min(_BLOCK, stop - start))):
                self.wfile.write(block)
                start += len(block)

    def _is_asked_by_name(self) -> bool:
        """Return whether the request is for this computer: a page on the web may point its own name here."""
        port = self.server.server_port
        return self.headers.get("Host", "") in (f"{ADDRESS}:{port}", f"localhost:{port}")

    def _file(self) -> Path | None:
        """Return the file that is asked for; only what lies in a store, and not by way of links out of it."""
        _, name, *parts = unquote(urlsplit(self.path).path).split("/", 2)
        store = self.server.stores.get(name)
        if store is None or not parts or "\0" in parts[0]:
            return None
        path = (store / parts[0]).resolve()
        return path if path.is_relative_to(store) and path.is_file() else None

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def end_headers(self) -> None:
        """Let neuroglancer read every answer, and nobody else."""
        self.send_header("Access-Control-Allow-Origin", NEUROGLANCER)
        self.send_header("Access-Control-Expose-Headers", "Content-Range")
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: every chunk is a request."""


def _window(asked: str, size: int) -> tuple[int, int] | None:
    """Return first byte and one past the last of a range; everything when none is asked for, None when it cannot be."""
    if not asked:
        return 0, size
    found = _RANGE.fullmatch(asked)
    if not found:
        return None
    first, last, from_end = found.groups()
    if from_end is not None:
        return (max(size - int(from_end), 0), size) if int(from_end) and size else None
    stop = min(int(last) + 1, size) if last else size
    return (int(first), stop) if int(first) < stop else None


def shown_stores(scan: FinishedScan) -> dict[str, Path]:
    """Return the stores of a scan that a viewer shows, by name; labels only where they were painted."""
    files = scan.files
    stores = {"volume": files.volume, "probability": files.probability, "labels": files.labels}
    return {name: store.path for name, store in stores.items() if StoreLayout(store.path).metadata.exists()}


def neuroglancer_link(scan: FinishedScan, url: str) -> str:
    """Return the link that opens the stores served at ``url`` in neuroglancer."""
    shown = {
        "volume": {"type": "image", "shaderControls": {"normalized": {"range": shown_greys(scan)}}},
        "probability": {"type": "image", "visible": False},
        "labels": {"type": "segmentation"},
    }
    layers = [{"name": name, "source": f"{url}/{name}/|zarr3:"} | shown[name] for name in shown_stores(scan)]
    state = {"layers": layers, "layout": "4panel", "selectedLayer": {"layer": layers[-1]["name"], "visible": True}}
    return f"{NEUROGLANCER}/#!{quote(json.dumps(state))}"
