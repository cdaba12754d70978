"""Numbers in English and German words, as the aligned files that `parallel-text` reads."""

from pathlib import Path

from rnnbench_tasks import parallel_text

NUMBERS = Path(parallel_text.__file__).with_name("number_words.tsv")


def write_number_pairs(folder):
    """Write a.en, a.de and a.tsv, and return the pairs of words."""
    rows = [line.split("\t") for line in NUMBERS.read_text("utf-8").splitlines()]
    for i, name in enumerate(("en", "de")):
        (folder / f"a.{name}").write_text("".join(f"{row[i]}\n" for row in rows), "utf-8")
    (folder / "a.tsv").write_text(NUMBERS.read_text("utf-8"), "utf-8")
    return rows
