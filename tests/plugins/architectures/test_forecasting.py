"""Forecasting architectures against loops in the papers' terms."""

import pytest
import torch
from support.forecasting_models import CONTEXT, HORIZON, SERIES, H, built, windows
from support.torch_cells import read, torch_cell

from rnnbench.contract import Batch, Port, Refusal
from rnnbench.testing.fixtures.toy_tasks import TOYS, Toy
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.da_rnn import DaRNN
from rnnbench_architectures.dlinear import DLinear
from rnnbench_architectures.lstnet import LSTNet
from rnnbench_architectures.temporal_attention import TemporalAttention


@torch.no_grad()
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_da_rnn_is_the_papers_two_stages(cell):
    model, batch = built(DaRNN(hidden=H, cell=cell)), windows()
    out, decoded = model(batch).out, model.decode(batch)

    def state_of(state):  # [h; s]
        return torch.cat([s[0] for s in (state if isinstance(state, tuple) else (state, state))])

    def zero():
        h = torch.zeros(1, H).double()
        return (h, h.clone()) if cell == "lstm" else h

    for row in range(2):
        x, target = batch.x[row, :, [0, 2]], batch.x[row, :, 1]
        encoder, state, memory = torch_cell(model.encoder), zero(), []
        for t in range(CONTEXT):
            e = torch.stack([
                model.series_score.weight[0]
                @ torch.tanh(
                    model.enter.weight @ state_of(state) + model.series.weight @ x[:, k]
                )
                for k in range(2)
            ])  # fmt: skip
            alpha = e.exp() / e.exp().sum()
            state = encoder((alpha * x[t])[None], state)
            memory.append((state[0] if cell == "lstm" else state)[0])

        def look(state, memory=memory):
            e_M = torch.stack([
                model.time_score.weight[0]
                @ torch.tanh(model.look.weight @ state_of(state) + model.keys.weight @ h)
                for h in memory
            ])  # fmt: skip
            beta = e_M.exp() / e_M.exp().sum()
            return sum(b * h for b, h in zip(beta, memory, strict=True))

        def forecast(after, target=target, look=look):
            """Read the past, then what `after` gives for each output."""
            decoder, d = torch_cell(model.decoder), zero()
            c, outputs = look(d), []
            for t in range(CONTEXT + HORIZON - 1):
                y = target[t] if t < CONTEXT else after(t - CONTEXT, outputs)
                joined = model.join.weight @ torch.cat([y[None], c]) + model.join.bias
                c, d = look(d), decoder(joined[None], d)
                if t >= CONTEXT - 1:
                    h = (d[0] if cell == "lstm" else d)[0]
                    outputs.append(model.readout(model.mix(torch.cat([h, c])))[0])
            return torch.stack(outputs)

        gold = batch.y[row, :, 0]
        forced = forecast(lambda i, _, gold=gold: gold[i])
        assert torch.allclose(out[row, :, 0], forced, atol=1e-12)
        free = forecast(lambda i, outputs: outputs[i])
        assert torch.allclose(decoded[row, :, 0], free, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("kernel", [1, 3, 4])
def test_dlinear_maps_the_trend_and_the_rest_of_each_series(kernel):
    class Several(Toy):
        past = (2, 0)

    ports = Port(width=3, longest=CONTEXT), Port(width=2, longest=HORIZON)
    model = built(DLinear(kernel=kernel), Several("UNALIGNED", ports))
    batch = windows()
    out = model(batch._replace(y=torch.zeros(2, HORIZON, 2).double())).out
    for row in range(2):
        for value, column in enumerate((2, 0)):
            x = batch.x[row, :, column]
            trend = torch.stack([
                sum(x[min(max(t + k, 0), CONTEXT - 1)]
                    for k in range(-((kernel - 1) // 2), kernel // 2 + 1)) / kernel
                for t in range(CONTEXT)
            ])  # fmt: skip
            for s in range(HORIZON):
                expected = (
                    model.seasonal.weight[s] @ (x - trend) + model.seasonal.bias[s]
                    + model.trend.weight[s] @ trend + model.trend.bias[s]
                )  # fmt: skip
                assert out[row, s, value].item() == pytest.approx(expected.item(), abs=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("temporal", ["skip", "attention"])
@pytest.mark.parametrize("period", [2, 3])
def test_lstnet_is_the_papers_sum(temporal, period):
    kernel, hidden, skip, q = 2, 4, 3, 3
    plugin = LSTNet(hidden=hidden, filters=5, kernel=kernel, temporal=temporal, period=period,
                    skip_hidden=skip, autoregressive=q)  # fmt: skip
    model, batch = built(plugin), windows()
    out = model(batch).out

    def gru(cell, c, h):
        n = cell.width
        w = [cell.weight_x[i * n : (i + 1) * n] for i in range(3)]
        u = [cell.weight_h[i * n : (i + 1) * n] for i in range(3)]
        b = [cell.bias_x[i * n : (i + 1) * n] for i in range(3)]
        d = [cell.bias_h[i * n : (i + 1) * n] for i in range(3)]
        reset = torch.sigmoid(w[0] @ c + b[0] + u[0] @ h + d[0])
        update = torch.sigmoid(w[1] @ c + b[1] + u[1] @ h + d[1])
        new = torch.clamp(w[2] @ c + b[2] + reset * (u[2] @ h + d[2]), min=0)
        return (1 - update) * h + update * new

    for row in range(2):
        x, conv = batch.x[row], model.convolution
        c = [
            torch.clamp(
                sum(conv.weight[:, :, k] @ x[t + k] for k in range(kernel)) + conv.bias, min=0
            )
            for t in range(CONTEXT - kernel + 1)
        ]
        h = [torch.zeros(hidden).double()]
        for c_t in c:
            h.append(gru(model.recurrent, c_t, h[-1]))
        h = h[1:]
        if temporal == "skip":
            s, steps = {}, len(c)
            begin = steps - steps // period * period
            for t in range(begin, steps):
                before = s.get(t - period, torch.zeros(skip).double())
                s[t] = gru(model.skip, c[t], before)
            second = torch.cat([s[t] for t in range(steps - period, steps)])
        else:
            e = torch.stack([h[-1] @ h_j for h_j in h[:-1]]).softmax(0)
            second = sum(a * h_j for a, h_j in zip(e, h[:-1], strict=True))
        expected = model.readout(torch.cat([h[-1], second]))
        for k in range(q):
            expected = expected + model.highway.weight[:, k] * x[CONTEXT - q + k, 1]
        expected = expected + model.highway.bias
        assert torch.allclose(out[row, :, 0], expected, atol=1e-12)
    assert torch.equal(model.decode(batch), out)


@torch.no_grad()
@pytest.mark.parametrize("changes", [False, True])
@pytest.mark.parametrize("attention", ["content", "position"])
def test_temporal_attention_scores_as_the_paper_says(attention, changes):
    model = built(TemporalAttention(hidden=H, attention=attention, changes=changes))
    batch = windows()
    out, read_in = model(batch).out, model.shifted(batch)
    for row in range(2):
        x = batch.x[row]
        if changes:
            steps = [x[0] * 0] + [x[t] - x[t - 1] for t in range(1, CONTEXT)]
            x = torch.stack([torch.cat(pair) for pair in zip(x, steps, strict=True)])
        embedded = [model.source_embed.map(x_t) for x_t in x]
        ahead, _ = read(torch_cell(model.encoder.forwards[0]), embedded)
        back, _ = read(torch_cell(model.encoder.backwards[0]), embedded[::-1])
        memory = [torch.cat(pair) for pair in zip(ahead, back[::-1], strict=True)]
        s = torch.tanh(model.starts[0](torch.cat([ahead[-1], back[-1]])))[None]
        state, cell = (s, torch.zeros_like(s)), torch_cell(model.cells[0])
        for i in range(1, HORIZON + 1):
            scores = []
            for j in range(1, CONTEXT + 1):
                h = memory[j - 1]
                if attention == "position":
                    h = model.score.gates[i + CONTEXT - j - 1] * h
                inner = model.score.query(state[0][0]) + model.score.memory.weight @ h
                scores.append(model.score.v.weight[0] @ torch.tanh(inner))
            a = torch.stack(scores).softmax(0)
            c = sum(w * h for w, h in zip(a, memory, strict=True))
            e_y = model.embed.map(read_in[row, i - 1])
            state = cell(torch.cat([e_y, c])[None], state)
            deep = model.mix(torch.cat([state[0][0], c, e_y]))
            hidden = torch.stack([max(deep[k], deep[k + 1]) for k in range(0, 2 * H, 2)])
            assert torch.allclose(out[row, i - 1], model.readout(hidden), atol=1e-12)


def test_position_attention_begins_as_content_attention():
    torch.manual_seed(0)
    content = assemble(TemporalAttention(hidden=H, attention="content"), SERIES, TrickFold())
    position = assemble(TemporalAttention(hidden=H), SERIES, TrickFold())
    position.load_state_dict(content.state_dict() | {"score.gates": position.score.gates})
    batch = Batch(windows().x.float(), windows().y.float())
    assert torch.allclose(content(batch).out, position(batch).out, atol=1e-6)


@pytest.mark.parametrize(
    ("plugin", "task", "message"),
    [
        (TemporalAttention(hidden=4), TOYS["translate"], "forecasts values"),
        (TemporalAttention(hidden=4), Toy("UNALIGNED", (Port(width=2), Port(width=1))), "longest"),
        (DaRNN(hidden=4), TOYS["translate"], "driving series"),
        (
            DaRNN(hidden=4),
            Toy("UNALIGNED", (Port(width=1, longest=5), Port(width=1, longest=3)), column=0),
            "has none",
        ),
        (LSTNet(), TOYS["translate"], "windows of one length"),
        (DLinear(), TOYS["lm"], "dlinear forecasts series from windows of one length"),
        (LSTNet(kernel=3, period=8, autoregressive=2), SERIES, "period = 8"),
        (LSTNet(kernel=2, period=2, autoregressive=50), SERIES, "autoregressive = 50"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(plugin, task, message):
    with pytest.raises(Refusal, match=message):
        check(plugin, task)
