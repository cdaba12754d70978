"""Prepared forms of data: made once, shared, and made again when damaged."""

from data.tiny_wheel import TEXT

from rnnbench.data.prepared import prepare


def test_a_prepared_form_is_made_once_and_again_when_damaged(wheel_source, tmp_path):
    import numpy as np

    made = []

    def make(folder):
        made.append(folder)
        return {"size": (folder / "tinytexts/plays/a.txt").stat().st_size, "n": np.arange(5)}

    def ask(**settings):
        return prepare("tiny-task", [wheel_source], 1, settings, make, lambda line: None)

    assert ask(a=1)["size"] == len(TEXT)
    assert ask(a=1)["n"].tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 1
    ask(a=2)
    assert len(made) == 2
    for path in (tmp_path / "cache/prepared").glob("*/n.npy"):
        path.write_bytes(path.read_bytes()[:-3])
    assert ask(a=1)["n"].tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 3


def test_a_prepared_form_can_be_written_to_without_changing_the_file(wheel_source):
    import numpy as np

    def ask():
        return prepare("t", [], 1, {}, lambda: {"n": np.arange(5)}, lambda line: None)

    ask()["n"][0] = 99
    assert ask()["n"][0] == 0
