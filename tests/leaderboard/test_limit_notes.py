"""What a board says of selection metrics that told nothing, and the row it then shows."""

from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build


def test_runs_that_kept_the_first_of_equal_validations_are_named():
    def run(values, losses, seed):
        record = make_record(make_spec("digits", seed=seed), 0.1, valid=0.1)
        figures = zip((100, 200), values, losses, strict=True)
        record.curve = [[step, 0.0, {"accuracy": v, "loss": loss}] for step, v, loss in figures]
        record.selection["step"] = 100
        return record

    early = run((0.1, 0.1), (2.0, 1.0), 0)
    others = [run((0.1, 0.0), (2.0, 1.0), 1), run((0.1, 0.1), (1.0, 2.0), 2)]
    (board,) = build([early, *others])
    (note,) = [n for n in board.notes if "earlier rnnbench" in n]
    assert early.run_id in note
    assert not any(r.run_id in note for r in others)


def test_of_configurations_with_equal_values_on_validation_the_lowest_loss_is_shown():
    records = []
    for lr, loss in ((1e-3, 0.5), (2e-3, 0.1), (3e-3, 0.9)):
        record = make_record(make_spec("digits", lr=lr), 0.4, valid=0.0)
        record.metrics["valid"]["loss"] = loss
        records.append(record)
    (board,) = build(records)
    (row,) = board.ranked
    assert row.settings["optimizer"]["lr"] == 2e-3
