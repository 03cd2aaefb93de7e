"""What a script does with the Python package kubernetes: one verb of the table, what came on standard output."""

import faulthandler
import http.client
import os
import sys

from kubernetes import client, config
from kubernetes.stream import portforward, stream

# Where it hangs, it says where.
faulthandler.dump_traceback_later(20, exit=True)

NAMESPACE = os.environ["NS"]
config.load_kube_config()
v1 = client.CoreV1Api()


def execute(*command, stdin=False, tty=False, lines=(), binary=False):
    """Prints what a command prints, and gives its exit status."""
    process = stream(
        v1.connect_get_namespaced_pod_exec, "shell", NAMESPACE, command=list(command), stdout=True, stderr=not tty,
        stdin=stdin, tty=tty, binary=binary, _preload_content=False,
    )
    for line in lines:
        process.write_stdin(line)
    out, err = ([], [])
    while process.is_open():
        process.update(timeout=5)
        if process.peek_stdout():
            out.append(process.read_stdout())
        if process.peek_stderr():
            err.append(process.read_stderr())
    join = (b"" if binary else "").join
    for sink, parts in ((sys.stdout, out), (sys.stderr, err)):
        sink.buffer.write(join(parts) if binary else join(parts).encode())
    return process.returncode


def forward(port):
    ports = portforward(v1.connect_get_namespaced_pod_portforward, "shell", NAMESPACE, ports=port)
    connection = http.client.HTTPConnection("shell", int(port))
    connection.sock = ports.socket(int(port))
    connection.request("GET", "/")
    sys.stdout.buffer.write(connection.getresponse().read())
    connection.close()


verb, *rest = sys.argv[1:]
if verb == "exec":
    sys.exit(execute("sh", "-c", "printf out; printf err >&2"))
elif verb == "tty":
    sys.exit(execute("tty", tty=True))
elif verb == "fail":
    sys.exit(execute("sh", "-c", "echo before; exit 42"))
elif verb == "input":
    sys.exit(execute("sh", "-c", "read a; echo got $a", stdin=True, lines=["a line\n"]))
elif verb == "binary":
    sys.exit(execute("cat", *rest, binary=True))
elif verb == "logs":
    log = v1.read_namespaced_pod_log("talker", NAMESPACE, follow=True, _preload_content=False)
    for piece in log.stream():
        sys.stdout.buffer.write(piece)
elif verb == "forward":
    forward(*rest)
