"""What re-using plans saves and costs: the same arena episodes with and without it, in turn.

For example, with nobody there:

    scripts/with-ros python -m edge_worldmodel.evaluation.bench.attention_figures --scenario crowd --people 0 0
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from edge_worldmodel.core.planner.deliberation import Decision
from edge_worldmodel.core.types import Floats
from edge_worldmodel.evaluation.arena.episode import run_episode
from edge_worldmodel.evaluation.arena.scenario import ScenarioOverrides, load_scenario
from edge_worldmodel.evaluation.controllers.controller import Command, ControllerInput
from edge_worldmodel.evaluation.controllers.ours.ours import Ours, open_ours
from edge_worldmodel.sim.robots import RobotSpec

_TRAINING_SEED = 1000


class Timed(Ours):
    """Ours, with the processor time of its thinking counted; one network thread, so that it is all in this one."""

    cpu_s = 0.0
    planner_cpu_s = 0.0

    def reset(self, robot: RobotSpec, goal: Floats, seed: int, walls: Sequence[Floats] = ()) -> None:
        """Begin as ever, with the planner's part counted on its own."""
        super().reset(robot, goal, seed, walls)
        decide = self._deliberation.decide

        def timed(*args: Any, **more: Any) -> Decision:
            began_s = time.thread_time()
            try:
                return decide(*args, **more)
            finally:
                self.planner_cpu_s += time.thread_time() - began_s

        self._deliberation.decide = timed  # type: ignore[method-assign]

    def act(self, look: ControllerInput) -> Command:
        """Decide as ever, and count."""
        began_s = time.thread_time()
        command = super().act(look)
        self.cpu_s += time.thread_time() - began_s
        return command


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line per episode and setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="crowd")
    parser.add_argument("--people", type=int, nargs=2, metavar=("MIN", "MAX"))
    parser.add_argument("--episodes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=_TRAINING_SEED)
    options = parser.parse_args(arguments)
    overrides = ScenarioOverrides(people=tuple(options.people) if options.people else None)
    scenario = load_scenario(options.scenario, options.seed, overrides)
    for index in range(options.episodes):
        for settings in ({"reuse_s": 0.0}, {}):
            ours = open_ours(scenario.robot, scenario.max_speed_mps, settings, Timed)
            outcome, _ = run_episode(scenario, index, ours)
            reasons = ", ".join(f"{why} {count}" for why, count in ours.reasons.most_common())
            planner, all_of_it = (cpu_s / outcome.time_s for cpu_s in (ours.planner_cpu_s, ours.cpu_s))
            print(
                f"{scenario.name} {index} {'always' if settings else 'event-driven'}: {outcome.ending} in "
                f"{outcome.time_s:.1f} s, nearest {outcome.min_distance_m:.2f} m; processor seconds per second: "
                f"planner {planner:.3f}, with perception, cache and supervisor {all_of_it:.3f}; {reasons}",
                flush=True,
            )


if __name__ == "__main__":
    main()
