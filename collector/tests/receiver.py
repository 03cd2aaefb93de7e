"""Receives what the collector forwards, and reads it with libraries that know nothing of it; prints `ID TYPE` for each event.

    receiver.py webhook|otlp PORT [WEBHOOK-KEY]

Prints its port first. The first request is answered 503 with Retry-After. `/moved` redirects to `/followed`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FORM, PORT = sys.argv[1], int(sys.argv[2])


def webhook(body, headers):
    from cloudevents.v1.http import from_dict
    from standardwebhooks.webhooks import Webhook

    assert headers["content-type"].startswith("application/cloudevents-batch+json")
    Webhook(sys.argv[3]).verify(body, {name.lower(): value for name, value in headers.items()})
    events = [from_dict(event) for event in json.loads(body)]
    return [(event["id"], event["type"]) for event in events]


def otlp(body, headers):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    assert headers["authorization"] == "Bearer of-the-receiver" and headers["content-type"] == "application/json"
    request = json_format.Parse(body, ExportLogsServiceRequest())
    (resource,) = request.resource_logs
    assert [(a.key, a.value.string_value) for a in resource.resource.attributes] == [("service.name", "chaperone")]
    events = []
    for record in resource.scope_logs[0].log_records:
        attributes = {a.key: a.value.string_value for a in record.attributes}
        body = {pair.key for pair in record.body.kvlist_value.values}
        assert record.time_unix_nano > 0 and record.severity_number in (9, 13) and body & {"exchange", "reason"}
        events.append((attributes["cloudevents.event_id"], record.event_name))
    return events


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Handler.requests += 1
        if self.path != "/":
            print("REDIRECTED" if self.path == "/moved" else "FOLLOWED", flush=True)
            return self.answer(307, {"location": "/followed"})
        if Handler.requests == 1:
            return self.answer(503, {"retry-after": "1"})
        try:
            events = {"webhook": webhook, "otlp": otlp}[FORM](body, self.headers)
        except Exception as error:
            print(f"BAD {error!r}", flush=True)
            return self.answer(400, {})
        for event in events:
            print(*event, flush=True)
        self.answer(200, {})

    def do_GET(self):
        print("FOLLOWED", flush=True)
        self.answer(200, {})

    def answer(self, status, headers):
        self.send_response(status)
        for name, value in {"content-length": "2", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
print(server.server_port, flush=True)
server.serve_forever()
