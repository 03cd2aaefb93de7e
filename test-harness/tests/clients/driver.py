"""Runs Python that comes as JSON on standard input, a line each, and says what it printed.

The Python client of Kubernetes is set up as its documentation does it."""

import contextlib
import io
import json
import os
import sys
import textwrap
import traceback

from kubernetes import client, config, utils, watch
from kubernetes.dynamic import DynamicClient

config.load_kube_config()
NS = os.environ["NS"]
v1 = client.CoreV1Api()
secrets = DynamicClient(v1.api_client).resources.get(api_version="v1", kind="Secret")
scope = {"NS": NS, "client": client, "secrets": secrets, "utils": utils, "v1": v1, "watch": watch}

for line in sys.stdin:
    out, err, code = io.StringIO(), "", 0
    try:
        with contextlib.redirect_stdout(out):
            exec(textwrap.dedent(json.loads(line)), scope)
    except Exception:
        code, err = 1, traceback.format_exc()
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err}), flush=True)
