"""What Ray prints goes to a log, and what rnnbench prints to the terminal."""

import subprocess
import sys

CODE = """
import logging, os, sys
import ray._private.worker as worker
from pathlib import Path
from rnnbench.sweep.cluster.ray_output import RayOutput

output = RayOutput(Path(sys.argv[1]))
worker.print_to_stdstream({"lines": ["A worker died"], "pid": "raylet", "is_err": False}, False)
logging.getLogger("ray").error("listen_error_messages: gone")
os.write(2, b"[2026-11-30 E 1 1] gcs_rpc_client.h: C++ text\\n")
print("a line of ours", file=sys.stderr)
print("another one")
output.close()
os.write(2, b"after\\n")
print("the end", file=sys.stderr)
"""


def test_lines_of_ray_stand_in_a_log_and_not_on_the_terminal(tmp_path):
    log = tmp_path / "sweeps/s/ray.log"
    done = subprocess.run(
        [sys.executable, "-c", CODE, log], capture_output=True, text=True, check=True
    )
    assert done.stdout == "another one\n"
    assert done.stderr == "a line of ours\nafter\nthe end\n"
    text = log.read_text()
    for part in ("(raylet) A worker died", "listen_error_messages: gone", "C++ text"):
        assert part in text
