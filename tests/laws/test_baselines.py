"""The baselines obey the laws of architectures."""

from rnnbench.testing import ArchitectureLaws
from rnnbench_architectures.bag_of_words import BagOfWords
from rnnbench_architectures.dlinear import DLinear
from rnnbench_architectures.n_gram import NGram
from rnnbench_architectures.patchtst import PatchTST
from rnnbench_architectures.seasonal_naive import SeasonalNaive
from rnnbench_architectures.segrnn import SegRNN
from rnnbench_architectures.tcn import TCN


class TestTCN(ArchitectureLaws):
    tiny = TCN(hidden=4, layers=2, kernel=2)


class TestBagOfWords(ArchitectureLaws):
    tiny = BagOfWords(hidden=4)


class TestDLinear(ArchitectureLaws):
    tiny = DLinear(kernel=3)


class TestSegRNN(ArchitectureLaws):
    tiny = SegRNN(hidden=4, segment=1)


class TestPatchTST(ArchitectureLaws):
    tiny = PatchTST(hidden=4, heads=2, layers=1, patch=2, stride=1)


class TestSeasonalNaive(ArchitectureLaws):
    tiny = SeasonalNaive(season=2)


class TestNGram(ArchitectureLaws):
    tiny = NGram(order=2)
