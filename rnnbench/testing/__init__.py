"""The laws that a plugin obeys, public: for `rnnbench check-plugin` and for pytest.

from rnnbench.testing import ArchitectureLaws

class TestElman(ArchitectureLaws):
    tiny = Elman(hidden=4)
"""

from rnnbench.testing.architecture_laws import ArchitectureLaws
from rnnbench.testing.law import Broken, DoesNotApply, Law, Laws, Verdict, verdict
from rnnbench.testing.task_laws import TaskLaws
from rnnbench.testing.trick_laws import TrickLaws

__all__ = [
    "ArchitectureLaws", "Broken", "DoesNotApply", "Law", "Laws", "TaskLaws", "TrickLaws",
    "Verdict", "verdict",
]  # fmt: skip
