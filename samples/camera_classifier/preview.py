"""A page on localhost that shows what the camera sees and what the engine makes of it; standard library only."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edgehybrid.errors import RequestError
from samples.camera_classifier.dataset import UInt8Array
from samples.camera_classifier.picture import bmp, square

SIDE = 240
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Camera classifier</title>
<style>
 body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f4f4f1; color: #1d1d1b;
        font: 16px/1.4 system-ui, sans-serif }
 main { display: flex; flex-wrap: wrap; gap: 40px; align-items: center; padding: 24px }
 img { width: 320px; height: 320px; background: #ddd; border-radius: 6px; image-rendering: auto }
 #answer { font-size: 112px; line-height: 1; font-weight: 600; font-variant-numeric: tabular-nums }
 #sure { color: #5f5f59; margin-bottom: 20px }
 table { border-spacing: 0 } td { padding: 3px 24px 3px 0; white-space: nowrap } td:first-child { color: #5f5f59 }
 td + td { font-variant-numeric: tabular-nums }
 .lost img { opacity: .35 }
 @media (prefers-color-scheme: dark) {
  body { background: #161615; color: #eee }
  td:first-child, #sure { color: #a5a59e }
 }
</style>
<main><img id="picture" alt="what the camera sees"><div>
<div id="answer">–</div><div id="sure">waiting for a picture</div><table id="facts"></table></div></main>
<script>
const at = id => document.getElementById(id);
async function look() {
  try {
    const now = await (await fetch("status.json")).json();
    document.body.classList.remove("lost");
    if (now.number) {
      at("picture").src = "picture.bmp?" + now.number;
      at("answer").textContent = now.answer;
      at("sure").textContent = now.sure;
      at("facts").replaceChildren(...Object.entries(now.facts).map(([name, value]) => {
        const row = document.createElement("tr");
        for (const text of [name, value]) row.insertCell().textContent = text;
        return row;
      }));
    }
  } catch { document.body.classList.add("lost"); at("sure").textContent = "the app has ended"; }
  setTimeout(look, 500);
}
look();
</script></html>
"""


class Preview:
    """Serves the page; ``show`` replaces what it shows. Only this machine can reach it: use ``ssh -L`` from another.

    Args:
        port: On 127.0.0.1; 0 takes a free one.

    Raises:
        RequestError: The port is taken.
    """

    def __init__(self, port: int) -> None:
        self._shown: tuple[UInt8Array | None, Mapping[str, object]] = (None, {"number": 0})
        self._number = 0
        preview = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Host", "").rpartition(":")[0]
                here = asked in {"127.0.0.1", "localhost"}  # a foreign page cannot come here under a name of its own
                body, kind = preview._answer(self.path) if here else (b"", "text/plain")
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep requests out of the journal."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise RequestError(f"Port {port} is taken ({error.strerror}).", "Give another --preview PORT.") from error
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="preview", daemon=True).start()

    def show(self, pixels: UInt8Array, *, answer: str, sure: str, facts: Mapping[str, str]) -> None:
        """Show another picture, the answer, how sure it is, and lines of facts below."""
        self._number += 1
        self._shown = (pixels, {"number": self._number, "answer": answer, "sure": sure, "facts": dict(facts)})

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str) -> tuple[bytes, str]:
        pixels, status = self._shown
        match path.partition("?")[0]:
            case "/":
                return PAGE.encode(), "text/html; charset=utf-8"
            case "/status.json":
                return json.dumps(status).encode(), "application/json"
            case "/picture.bmp" if pixels is not None:
                return bmp(square(pixels, SIDE)), "image/bmp"
        return b"", "text/plain"
