"""The laws of building: seeds, devices, saved weights, and what the check says."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, Layout, Moment, Refusal
from rnnbench.testing.architectures.model import first_accepted, predicted
from rnnbench.testing.fixtures.backbones import (
    STEPS,
    both_backbones,
    doubled,
    inputs,
    leaves,
    models_of,
    run,
)
from rnnbench.testing.fixtures.toy_tasks import MORE_TOYS, TOYS
from rnnbench.testing.law import Broken, DoesNotApply, Laws, differ
from rnnbench.training.determinism import seed_torch
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, training_step

LAWS = Laws()


@LAWS.law(
    "The same seed gives the same weights, and another seed gives others.",
    "Draw every initial value with torch's global generator, and never seed it.",
)
def seeded_weights(plugin: Architecture) -> None:
    toy, weights, random_states = first_accepted(plugin), [], []
    for seed in (0, 0, 1):
        seed_torch(seed)
        model = assemble(plugin, toy, TrickFold())
        weights.append(model.state_dict())
        training_step(model.train(), TrickFold(), toy.example(), None, Moment(0, 0.0))
        random_states.append(torch.get_rng_state())
    for name in weights[0]:
        if differ(weights[0][name], weights[1][name]):
            raise Broken(f"{name} differs between two builds with one seed")
    if torch.equal(random_states[0], random_states[2]):
        raise Broken("building or training seeds torch's generator, so every seed is the same run")
    names = {k for k in weights[0] if not k.startswith(("embed", "readout", "source_embed",
                                                       "condition", "luong"))}  # fmt: skip
    random = {k for k in names if weights[0][k].is_floating_point() and weights[0][k].dim() > 1}
    if random and not any(differ(weights[0][k], weights[2][k]) for k in random):
        raise Broken(f"another seed gives the same {', '.join(sorted(random)[:3])}")


@LAWS.law(
    "A model goes where it is sent: every tensor follows its device.",
    "Register tensors as parameters or buffers; make new ones like a given one (x.new_zeros).",
    everywhere=True,
)
def follows_its_device(plugin: Architecture) -> None:
    for request, backbone in both_backbones(plugin):
        for place, tensor in unregistered(backbone):
            raise Broken(
                f"{request}: {place} is a tensor of shape {tuple(tensor.shape)} that is neither "
                "parameter nor buffer, so it is neither moved nor saved"
            )
        x, layout = inputs(), Layout(torch.tensor([STEPS, 4, 1]))
        expected, _ = run(backbone, x, None, layout)
        devices = ["meta"] + (["cuda"] if torch.cuda.is_available() else [])
        for device in devices:
            there = backbone.to(device)
            try:
                y, state = run(there, x.to(device), None, Layout(layout.len_B.to(device)))  # type: ignore[union-attr]
            except NotImplementedError:  # reads a value, which meta tensors do not have
                continue
            except RuntimeError as error:
                if "device" in str(error):
                    raise Broken(f"{request}: on another device, {error}") from error
                if "meta" in str(error).lower():
                    continue
                raise
            for what, leaf in (("y", y), *(("a state tensor", s) for s in leaves(state))):
                if leaf.device.type != device:
                    raise Broken(f"{request}: {what} is on {leaf.device} for inputs on {device}")
            gap = device != "meta" and differ(y.cpu(), expected, 1e-8)
            if gap:
                raise Broken(f"{request}: outputs on {device} and the CPU differ {gap}")


def unregistered(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors that a module holds besides its parameters and buffers, with their places."""
    registered = {id(t) for t in (*module.parameters(), *module.buffers())}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            for tensor in (t for t in _tensors(value) if id(t) not in registered):
                yield f"{type(part).__name__}.{name}" + (f" (at {path})" if path else ""), tensor


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)


@LAWS.law(
    "Weights survive: a fresh model that loads the state_dict gives the same outputs.",
    "Register every tensor as parameter or buffer, what `schedule` sets too; keep nothing else "
    "that forward reads.",
    everywhere=True,
)
def state_dict_round_trip(plugin: Architecture) -> None:
    for name, toy, source, batch in models_of(plugin):
        for part in source.modules():
            if isinstance(part, Backbone):
                part.schedule(Moment(70, 0.7))
        with torch.no_grad():
            for p in source.parameters():
                p.add_(torch.randn_like(p) * 0.1)
        seed_torch(123)
        target = assemble(plugin, toy, TrickFold()).double().eval()
        target.load_state_dict(source.state_dict())
        gap = differ(predicted(source, batch), predicted(target, batch))
        if gap:
            raise Broken(f"on {name}: outputs differ {gap} in a fresh model with these weights")


@LAWS.law(
    "It pickles: plugin and model travel to another process and give the same outputs.",
    "Keep no lambda, open file or local class in the dataclass or on the module.",
)
def pickles(plugin: Architecture) -> None:
    if pickle.loads(pickle.dumps(plugin)) != plugin:
        raise Broken("the plugin is not equal to its pickled copy")
    for name, _, model, batch in models_of(plugin):
        copied = pickle.loads(pickle.dumps(model))
        if differ(predicted(model, batch), predicted(copied, batch)):
            raise Broken(f"on {name}: the pickled model gives other outputs")


@LAWS.law(
    "What `check` says is so: its dry run and a real step agree, and so do their parameter counts.",
    "build must make the same module on every device, and refuse what it cannot train.",
)
def check_tells_the_truth(plugin: Architecture) -> None:
    accepted = 0
    for name, toy in {**TOYS, **MORE_TOYS}.items():
        try:
            report = check(plugin, toy, batch=toy.example())
        except Refusal as why:
            if "fails its dry run" in str(why):
                raise Broken(f"on {name}: {why}") from why
            continue
        accepted += 1
        model = assemble(plugin, toy, TrickFold())
        training_step(model, TrickFold(), toy.example(), None, Moment(0, 0.0))
        real = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if real != report.parameters:
            raise Broken(
                f"on {name}: check counts {report.parameters} parameters, there are {real}"
            )
        training_step(model.double(), TrickFold(), doubled(toy.example()), None, Moment(0, 0.0))
    if not accepted:
        raise DoesNotApply("it is refused on every toy task")
