"""A proxy that plants one fault in what the REST API answers, for tests/rest.

Usage: planted.py URL FAULT

  status   a request that is refused with 400 is answered with 500
  member   a decision has no outcome
  type     an evaluation is plain text
"""

import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TARGET, FAULT = sys.argv[1:]
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "date", "server"}


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        request = urllib.request.Request(TARGET + self.path, data=body or None, headers=headers, method=self.command)
        try:
            with urllib.request.urlopen(request) as answer:
                status, head, text = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refused:
            status, head, text = refused.code, refused.headers, refused.read()
        kind = head.get("content-type", "")
        if FAULT == "status" and status == 400:
            status = 500
        if FAULT == "member" and status == 200 and self.path.endswith("/propose"):
            document = json.loads(text)
            del document["outcome"]
            text = json.dumps(document).encode()
        if FAULT == "type" and status == 200 and self.path.endswith("/evaluate"):
            kind = "text/plain"
        self.send_response(status)
        for name, value in head.items():
            if name.lower() not in HOP_BY_HOP | {"content-type"}:
                self.send_header(name, value)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_TRACE = pass_on

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
