"""The vendor's documented routine, as a control: its faults are known, all of them."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings

from harness.model import EngineChoice
from harness.plugin.staging import Recorded, Stage
from harness.population.cases import Case
from harness.population.strategies import worlds
from harness.population.world import World

EXAMPLES = 50


def test_leaves_exactly_what_the_manifest_predicts(recorded: Recorded) -> None:
    """The documented routine leaves and harms what the manifest predicts, no more, no fewer."""
    recorded.require_as_predicted()


def test_does_the_same_to_any_world(stage: Stage, engine: EngineChoice) -> None:
    """Whatever the stores hold, the documented routine does what the manifest predicts."""
    with stage.recording() as act:

        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            derandomize=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(world=worlds())
        def does_as_predicted(world: World) -> None:
            act(engine, Case("any world", "Drawn by Hypothesis.", world)).require_as_predicted()

        does_as_predicted()
