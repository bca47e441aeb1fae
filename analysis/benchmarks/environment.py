"""What a step of the environment engine costs: two seats, event log on, through PettingZoo's AEC calls.

Targets: 50,000 agent-steps/s; a step at turn 1,000 costs at most 1.2 times one at turn 10.
Usage: python analysis/benchmarks/environment.py
"""

from __future__ import annotations

import time
from statistics import median

from talk import WORDS, Talk

ACTION = {"text": f"{WORDS} {WORDS}"}


def rate(turns: int, matches: int, observe: bool) -> float:
    """Agent-steps per second of CPU time over whole matches, resets included; the machine may be shared."""
    env = Talk(turns=turns)
    began = time.process_time()
    for seed in range(matches):
        env.reset(seed=seed)
        for seat in env.agent_iter():
            if observe:
                _, _, over, cut, _ = env.last()
            else:
                over, cut = env.terminations[seat], env.truncations[seat]
            env.step(None if over or cut else ACTION)
    return turns * matches / (time.process_time() - began)


def cost_at(turn: int, window: int = 10, repeats: int = 200) -> float:
    """Microseconds of a step, observation and state hash included, around `turn` of a long match; the median."""
    env = Talk(turns=turn + window)
    costs = []
    for seed in range(max(3, repeats * window // turn // 4)):
        env.reset(seed=seed)
        for _ in range(turn - window):
            env.step(ACTION)
        env.last(), env.state_hash()
        for _ in range(2 * window):
            began = time.perf_counter()
            env.last()
            env.step(ACTION)
            env.state_hash()
            costs.append(time.perf_counter() - began)
    return median(costs) * 1e6


def main() -> None:
    """Print rates and the ratio."""
    rate(50, 20, observe=True)
    plain = median(rate(200, 20, observe=False) for _ in range(5))
    observed = median(rate(200, 20, observe=True) for _ in range(5))
    print(f"environment, 2 seats, log on: {plain:,.0f} agent-steps/s; target 50,000")
    print(f"environment, with observe before each step: {observed:,.0f} agent-steps/s")
    early, late = cost_at(10), cost_at(1000)
    print(
        f"step with observe and state hash: {early:.1f} us at turn 10, {late:.1f} us at turn 1,000 "
        f"({late / early:.2f}x; target 1.2x)"
    )


if __name__ == "__main__":
    main()
