"""The dry run does not import torch's compiler, and leaves no trace of having kept it away."""

import subprocess
import sys

CODE = """
import sys, torch
from rnnbench.spec.compose import compose
from rnnbench.training.dry_run import check_resolved
from rnnbench.training.resolve import resolve_with_plugins
check_resolved(resolve_with_plugins(compose("adding", "{name}", settings={{}}, test=False)))
assert "torch._dynamo" not in sys.modules and "_dynamo" not in vars(torch)
"""
AFTER = """
from rnnbench.training.checks.no_compiler import without_compiler
with without_compiler():
    torch.empty(2, 3, device="meta").softmax(-1) * 2
    torch.normal(0.0, 1.0, (2,), device="meta")
    assert torch._dynamo.config.verbose in (True, False)  # asked for more: the real one
    assert "torch._dynamo.eval_frame" in sys.modules
with without_compiler():
    assert torch._dynamo.is_compiling() is False
assert torch.compile(lambda x: x * 2 + 1, backend="eager")(torch.ones(2)).tolist() == [3.0, 3.0]
"""


def in_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_leaves_the_compiler_out():
    in_python(CODE.format(name="xlstm"))


def test_the_compiler_is_there_for_who_asks_for_it():
    in_python(CODE.format(name="mingru") + AFTER)
