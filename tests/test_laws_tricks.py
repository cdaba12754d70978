"""Every shipped trick obeys the laws."""

from rnnbench.testing import TrickLaws
from rnnbench_tricks.clip import Clip
from rnnbench_tricks.scheduled_sampling import ScheduledSampling
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.variational_dropout import VariationalDropout
from rnnbench_tricks.zoneout import Zoneout


class TestClip(TrickLaws):
    tiny = Clip(limit=0.1)


class TestScheduledSampling(TrickLaws):
    tiny = ScheduledSampling(last=0.2)


class TestTiedWeights(TrickLaws):
    tiny = TiedWeights()


class TestVariationalDropout(TrickLaws):
    tiny = VariationalDropout(input=0.3, hidden=0.3)


class TestZoneout(TrickLaws):
    tiny = Zoneout(rate=0.3)
