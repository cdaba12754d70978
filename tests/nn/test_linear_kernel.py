"""The kernels of the linear scan: held against the plain one, and left where they differ.

They are run by Triton's interpreter on the CPU, in a process of its own, since Triton asks for it
when it is imported; and on a GPU where there is one.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from rnnbench.nn import linear_scan, scan
from rnnbench.nn.linear import kernel_choice

module = importlib.import_module("rnnbench.nn.linear.scan")
plain = module._in_blocks
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="triton is not here: pip install 'rnnbench[kernels]'",
)

COMPARE = """
import importlib, sys
import torch
from rnnbench.nn.linear import kernel_choice, triton_kernels
plain = importlib.import_module("rnnbench.nn.linear.scan")._in_blocks
kernel_choice.STEPS = 37
triton_kernels.LANES, triton_kernels.LEAST, triton_kernels.BLOCK = int(sys.argv[1]), 4, 2
for dtype in (torch.float32, torch.complex128):
    found = kernel_choice.difference(triton_kernels.scan, plain, torch.device("cpu"), dtype)
    print(dtype, found or "agrees")
a, b, start = torch.rand(2, 5, 3, 4), torch.rand(2, 5, 3, 4), torch.rand(2, 3, 4)
torch.testing.assert_close(triton_kernels.scan(a, b, start, True), plain(a, b, start, True))
print("no rows", triton_kernels.scan(a[:0], b[:0], start[:0], False).shape)
"""


@needs_triton
@pytest.mark.parametrize(
    "lanes",
    [
        pytest.param(1, id="one chunk"),
        pytest.param(2**16, id="chunks of chunks", marks=pytest.mark.slow),
    ],
)
def test_the_kernels_give_what_the_plain_scan_gives(lanes):
    found = subprocess.run(
        [sys.executable, "-c", COMPARE, str(lanes)], capture_output=True, text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"}, timeout=300,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        "torch.float32 agrees",
        "torch.complex128 agrees",
        "no rows torch.Size([0, 5, 3, 4])",
    ]


def wrong(a, b, start, backwards):
    return plain(a, b, start, backwards) * (1.01 if backwards else 1)


def crashing(a, b, start, backwards):
    raise RuntimeError("out of resource: shared memory\nand more")


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(wrong, r"backwards, a scan differs by \S+, of values up to"),
     (crashing, "RuntimeError: out of resource: shared memory")],
)  # fmt: skip
def test_kernels_that_differ_or_crash_are_named_once_and_the_plain_scan_runs(
    kernel, reason, monkeypatch
):
    monkeypatch.setitem(
        sys.modules, "rnnbench.nn.linear.triton_kernels", SimpleNamespace(scan=kernel)
    )
    kernel_choice.agreed.cache_clear()
    scan.use()
    b = torch.rand(2, 5, 3)
    with pytest.warns(RuntimeWarning, match=f"do not run on cpu: {reason}"):
        assert kernel_choice.chosen(b, plain) is None
    assert kernel_choice.chosen(b, plain) is None
    (entry,) = scan.report()
    assert (entry["cell"], entry["tier"]) == ("linear scan", "eager")
    assert entry["reason"]
    kernel_choice.agreed.cache_clear()


def test_kernels_that_agree_are_taken_and_reported_and_the_eager_tier_has_none(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "rnnbench.nn.linear.triton_kernels", SimpleNamespace(scan=plain)
    )
    kernel_choice.agreed.cache_clear()
    try:
        for tier, expected, said in (("auto", plain, "triton"), ("eager", None, "eager")):
            scan.use(tier)
            assert kernel_choice.chosen(torch.rand(2, 5, 3), plain) is expected
            assert [e["tier"] for e in scan.report()] == [said]
    finally:
        scan.use()
        kernel_choice.agreed.cache_clear()


def test_forwards_and_backwards_a_scan_on_a_gpu_goes_to_the_kernels_that_were_chosen(monkeypatch):
    gone = []

    def kernel(a, b, start, backwards):
        gone.append(backwards)
        return plain(a, b, start, backwards)

    monkeypatch.setattr(kernel_choice, "chosen", lambda b, fallback: kernel)
    b = torch.rand(2, 5, 3, requires_grad=True)
    linear_scan(torch.rand(2, 5, 3), b).sum().backward()
    assert gone == [], "on the CPU the plain scan runs"
    monkeypatch.setattr(module, "_on_gpu", lambda x: True)
    linear_scan(torch.rand(2, 5, 3), b).sum().backward()
    assert gone == [False, True]


@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("width", [3, 5000])
def test_on_a_gpu_the_scan_and_its_gradients_are_those_of_the_cpu(dtype, width):
    scan.use()
    found = []
    for device in ("cpu", "cuda"):
        random = torch.Generator().manual_seed(1)
        a, b, start, weight = (
            torch.randn(shape, dtype=dtype, generator=random).to(device).requires_grad_()
            for shape in ((2, 300, width), (2, 300, width), (2, width), (2, 300, width))
        )
        h = linear_scan(0.4 * a, b, start)
        grads = torch.autograd.grad((h * weight).real.sum(), (a, b, start))
        found.append([x.cpu() for x in (h, *grads)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)
    assert [e["tier"] for e in scan.report()] == ["triton"]
