"""A Hugging Face Hub on this machine, for huggingface_hub's own client: it keeps what is committed, and serves it."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self._serve(with_body=True)

    def do_HEAD(self):
        self._serve(with_body=False)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hub = self.server
        if hub.refuses:
            self._answer(403, {"error": "You have no right to write here."})
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            hub.private.setdefault(name, asked.get("private") or asked.get("visibility") == "private")
            self._answer(200, {"url": f"{hub.address}/datasets/{name}"})
        elif "/preupload/" in self.path:
            files = [{"path": f["path"], "uploadMode": "regular"} for f in json.loads(body)["files"]]
            self._answer(200, {"files": [file | {"shouldIgnore": False} for file in files]})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    hub.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            hub.commits += 1
            self._answer(200, {"commitUrl": f"{hub.address}{self.path[4:]}/{COMMIT}", "commitOid": COMMIT})
        else:
            self._answer(200, {})

    def _serve(self, with_body):
        hub = self.server
        if "/resolve/" in self.path:
            content = hub.files.get(self.path.partition("/resolve/")[2].partition("/")[2].partition("?")[0])
            if content is None:
                self._answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
                return
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
            self._send(200, content, headers, with_body)
        else:
            name = "/".join(self.path.split("/")[3:5])
            if name in hub.private:
                self._answer(200, {"id": name, "private": hub.private[name], "sha": COMMIT, "siblings": []})
            else:
                self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def _answer(self, status, value, headers=None):
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}, True)

    def _send(self, status, content, headers, with_body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


@contextmanager
def running_hub(monkeypatch, cache):
    """Yield a hub (`files`, `private`, `commits`, `refuses`) that huggingface_hub uses in this process."""
    from huggingface_hub import constants, file_download, hf_api

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.files, server.private, server.commits, server.refuses = {}, {}, 0, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.address = address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hf_api.api, "endpoint", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    assert file_download and hf_api
    try:
        yield server
    finally:
        server.shutdown()
