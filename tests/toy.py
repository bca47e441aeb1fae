"""A small environment for tests of play and record: simultaneous bids, then speeches in a random order."""

from __future__ import annotations

import json
from typing import Any

import gymnasium

from simarena import seeds
from simarena.agents.base import Ask
from simarena.envs.base import Params, PhaseEnv
from simarena.envs.phases import Phase
from simarena.identity import content_hash, new_match
from simarena.reading import Fields
from simarena.records import JSON, Action, Match, Message, Request, Sampling, View
from simarena.tasks.base import Task


class Bid(Fields):
    amount: int


class Speech(Fields):
    text: str


class ToyParams(Params):
    task: str = "kks"
    rounds: int = 3
    seats: int = 2


class Toy(PhaseEnv):
    name = "toy"
    Params = ToyParams

    def seats(self) -> list[str]:
        return [f"bidder_{n}" for n in range(self.params.seats)]

    def deal(self, seed: int) -> Task:
        return Task(family="toy", seed=seed, public={"prize": seed % 100}, truth={"worth": seed % 7})

    def card(self, seat: str) -> dict[str, JSON]:
        return {"secret": self.rng("card", seat).randrange(1000)}

    def brief(self, seat: str) -> str:
        return f"You bid for a prize. You are {seat}."

    def script(self) -> list[Phase]:
        phases = []
        for n in range(self.params.rounds):
            actors = tuple(self.possible_agents)
            choices = {"amount": tuple(range(10))}
            phases.append(
                Phase(
                    name=f"bid {n}",
                    kind="bid",
                    actors=actors,
                    fields=Bid,
                    order="simultaneous",
                    choices=choices,
                    default={"amount": 0},
                )
            )
            speech = Phase(
                name=f"talk {n}",
                kind="talk",
                actors=actors,
                fields=Speech,
                order="random",
                words={"text": 6},
                default={"text": ""},
            )
            phases.append(speech)
        return phases

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        self.memo[seat] = self.memo.get(seat, 0) + fields.get("amount", 0)

    def payoffs(self) -> dict[str, float]:
        return {seat: float(self.memo.get(seat, 0)) for seat in self.possible_agents}

    def metrics(self) -> dict[str, float]:
        return {"spent": float(sum(self.memo.get(seat, 0) for seat in self.possible_agents))}

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        return gymnasium.spaces.Discrete(2)

    def features(self, seat: str) -> list[float]:
        return [0.0]


def answer(request: Request) -> str:
    """A reply that depends on the request's seed and prompt only; now and then it is rubbish, illegal or too long."""
    rng = seeds.rng(request.seed, *(m.content for m in request.messages))
    view_kind = request.view.kind if request.view else ("bid" if "amount" in str(request.schema) else "talk")
    if rng.random() < 0.1:
        return "rubbish " * rng.randrange(5)
    if view_kind == "bid":
        return json.dumps({"amount": rng.randrange(11)})
    return json.dumps({"text": " ".join(rng.choice(["yes", "no", "more", "Zürich"]) for _ in range(rng.randrange(9)))})


class Talker:
    """An agent with a growing prompt and one repair turn, as a language model has."""

    backend = "scripted"

    def __init__(self, name: str, model: str = "toy-1") -> None:
        self.name, self.model = name, model

    def sit(self, seat: str, key: str, seed: int) -> TalkerSitting:
        return TalkerSitting(self, seat, key, seed)


class TalkerSitting:
    def __init__(self, agent: Talker, seat: str, key: str, seed: int) -> None:
        self.agent, self.seat, self.key, self.seed, self.n = agent, seat, key, seed, 0
        self.messages: list[Message] = [Message("system", f"model {agent.model}, seat {seat}")]

    async def act(self, view: View, ask: Ask) -> Action:
        heard = [[e.author, e.kind, e.data] for e in view.events]
        self.messages.append(Message("user", f"{view.phase} {json.dumps(heard)} {json.dumps(view.card)}"))
        for attempt in range(2):
            request = Request(
                key=f"{self.key}/{self.n}",
                agent=self.agent.name,
                model=self.agent.model,
                schema=view.schema,
                messages=tuple(self.messages),
                sampling=Sampling(temperature=1.0, stop=("<end>",)),
                seed=seeds.derive(self.seed, self.seat, self.n),
            )
            self.n += 1
            completion = await ask(request)
            self.messages.append(Message("assistant", completion.text, completion.ids))
            found = view.read(completion.text)
            if found.fields is not None:
                return Action(found.fields, "repaired" if attempt else found.outcome)
            self.messages.append(Message("user", found.error))
        return Action(None, found.outcome, found.error)


def schedule(agents: list[Any], size: int, **params: JSON) -> list[Match]:
    """`size` matches among `agents`, who take the seats in turn."""
    names = [agent.name for agent in agents]
    who = {agent.name: content_hash([agent.name, agent.model]) for agent in agents}
    count = int(params.get("seats", 2))
    return [
        new_match(
            "toy",
            params,
            {f"bidder_{i}": names[(n + i) % len(names)] for i in range(count)},
            who,
            task_seed=n // 2,
            seed=seeds.derive("toy", n),
            unit=f"u{n // 2}",
        )
        for n in range(size)
    ]


META = {"scenario": "toy", "scenario_hash": "0123456789abcdef", "seed": 1}
