"""Why there is no subword vocabulary, in words and with a number that can be written."""

import re

import pytest

from rnnbench.data.text.tokens import Subwords
from rnnbench.errors import DataError

WORDS = ["a b c d e f"] * 5
MANY = ["".join(chr(0x4E00 + i) for i in range(300))]


@pytest.mark.parametrize(
    ("lines", "size", "words"),
    [
        (WORDS, 2000, r"pieces for (\d+) at most"),
        (WORDS, 262, r"take (\d+)"),
        (MANY, 300, r"take (\d+)"),
        ([], 300, "it is empty"),
        (["x" * 5000], 300, "longer than 4,192 bytes"),
    ],
)
@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_a_vocabulary_that_cannot_be_is_refused_in_words(lines, size, words, algorithm):
    with pytest.raises(DataError) as error:
        Subwords.train(lines, size, algorithm)
    said = str(error.value)
    assert not re.search(r"\.cc|INTERNAL|_\(|\.size\(|sentences_|--character", said)
    found = re.search(words, said)
    assert found, said
    if found.groups():
        assert f"task.vocabulary={found[1]} or" in said
        assert len(Subwords.train(lines, int(found[1]), algorithm)) == int(found[1])
