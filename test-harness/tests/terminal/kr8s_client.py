"""What a script does with the Python package kr8s: one verb of the table, what came on standard output."""

import faulthandler
import os
import sys
import urllib.request

from kr8s.objects import Pod

# Where it hangs, it says where.
faulthandler.dump_traceback_later(20, exit=True)

NAMESPACE = os.environ["NS"]


def execute(*command, **options):
    """Prints what a command prints, and gives its exit status."""
    done = Pod.get("shell", NAMESPACE).exec(list(command), check=False, **options)
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.buffer.write(done.stderr)
    return done.returncode


verb, *rest = sys.argv[1:]
if verb == "exec":
    sys.exit(execute("sh", "-c", "printf out; printf err >&2"))
elif verb == "fail":
    sys.exit(execute("sh", "-c", "echo before; exit 42"))
elif verb == "input":
    sys.exit(execute("sh", "-c", "read a; echo got $a", stdin="a line\n"))
elif verb == "binary":
    sys.exit(execute("cat", *rest))
elif verb == "logs":
    for line in Pod.get("talker", NAMESPACE).logs(follow=True):
        print(line)
elif verb == "forward":
    with Pod.get("shell", NAMESPACE).portforward(remote_port=int(rest[0]), local_port="auto") as port:
        sys.stdout.buffer.write(urllib.request.urlopen(f"http://localhost:{port}/").read())
