"""A small web server on 127.0.0.1 with records, archives and single clips, which misbehaves on request."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!DOCTYPE html><title>Service notice</title><p>We will be back soon."


@dataclass
class Site:
    """What the server serves, and its faults; a test may change both while the server runs.

    `faults` lists faults by path. Each request takes one; after the last, every request has the fault in `always`, if
    any. The faults are cut (half of the requested bytes, then the connection closes), short and long (a Content-Length
    below or above the true one), wrong (other bytes), page (an HTML page with status 200), stall (half of the bytes,
    then a pause), slow, no_range (Range is ignored), and any HTTP status; "429:1" adds the header Retry-After: 1.
    """

    files: dict[str, bytes] = field(default_factory=dict)  # path: content
    records: dict[int, dict[str, str]] = field(default_factory=dict)  # number: {file name: path}
    faults: dict[str, list[str]] = field(default_factory=dict)
    always: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # (path, header Range)
    served: int = 0  # bytes
    stall_seconds: float = 5.0
    pause: float = 0.0  # s after each chunk of a slow answer
    address: str = ""

    def add(self, record: int, name: str, content: bytes) -> str:
        """Put a file into a record and return its path."""
        path = f"/files/{record}/{name}"
        self.files[path] = content
        self.records.setdefault(record, {})[name] = path
        return path

    def answer(self, path: str) -> bytes | None:
        """Return the bytes of a file, or of a record in the format of Zenodo's API; None if there is neither."""
        match = re.fullmatch(r"/api/records/(\d+)", path)
        if not match or int(match[1]) not in self.records:
            return self.files.get(path)
        files = [self._entry(name, self.files[place], place) for name, place in self.records[int(match[1])].items()]
        return json.dumps({"id": int(match[1]), "files": files}).encode()

    def fault(self, path: str) -> str | None:
        left = self.faults.get(path)
        return left.pop(0) if left else self.always.get(path)

    def _entry(self, name: str, content: bytes, path: str) -> dict:
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        return {"key": name, "size": len(content), "checksum": checksum, "links": {"self": self.address + path}}


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve a site until the block ends; its address is in site.address."""

    class Handler(_Handler):
        pass

    Handler.site = site
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, path = self.site, self.path.partition("?")[0]
        asked = self.headers.get("Range")
        site.requests.append((path, asked))
        content, fault = site.answer(path), site.fault(path)
        if fault and re.fullmatch(r"\d{3}(:\d+)?", fault):
            self._status(fault)
        elif content is None:
            self._status("404")
        elif fault == "page":
            self._send(200, PAGE, {"Content-Type": "text/html; charset=utf-8"}, len(PAGE))
        else:
            self._file(content, asked, fault)

    def _file(self, content: bytes, asked: str | None, fault: str | None) -> None:
        if fault == "wrong":
            content = bytes(255 - byte for byte in content)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and fault != "no_range" else 0
        if start >= len(content):
            self._status("416")
            return
        headers = {"Content-Type": "application/octet-stream"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        length = len(body) + {"short": -1, "long": 7}.get(fault or "", 0)
        if fault in ("cut", "stall"):
            body = body[: len(body) // 2]
        self._send(206 if start else 200, body, headers, length, fault)

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int, fault: str | None = None) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(length)}).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            step = 2**12 if fault == "slow" else 2**20
            for begin in range(0, len(body), step):
                self.wfile.write(body[begin : begin + step])
                self.site.served += len(body[begin : begin + step])
                if fault == "slow":
                    time.sleep(self.site.pause)
            self.wfile.flush()
            if fault == "stall":
                time.sleep(self.site.stall_seconds)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True

    def _status(self, fault: str) -> None:
        code, _, wait = fault.partition(":")
        self.send_response(int(code))
        if wait:
            self.send_header("Retry-After", wait)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Print nothing, so that the output holds only what the tests print."""
