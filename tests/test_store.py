"""The run folder: what goes in comes out, one writer, clear refusals, no damage."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena import codec
from simarena.backends.scripted import ScriptedBackend
from simarena.errors import OutputError, StoreError, UnknownName
from simarena.identity import new_match, request_digest
from simarena.records import Completion, Event, Match, Message, Request, Sampling, Trajectory, Turn, Usage
from simarena.registry import ENVIRONMENTS
from simarena.rollout import rollout
from simarena.store import Writer, common, open_run, start_run
from simarena.store_file import FILE, VERSION
from tests import toy

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "toy", "tests.toy:Toy")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Writer]:
    with start_run(tmp_path / "run", toy.META) as writer:
        yield writer


def match(seed: int = 0) -> Match:
    return toy.schedule([toy.Talker("a"), toy.Talker("b")], seed + 1)[seed]


def request(key: str, *texts: str, **rest: object) -> Request:
    messages = tuple(Message(("user", "assistant")[n % 2], text) for n, text in enumerate(texts))
    return Request(**{"key": key, "agent": "a", "model": "m", "messages": messages, "seed": 5, **rest})


def put(run: Writer, *pairs: tuple[Request, Completion]) -> None:
    async def all_of_them() -> None:
        for asked, answer in pairs:
            await run.answer(asked, answer, 0.5)

    asyncio.run(all_of_them())


FULL = Completion(
    text="Zürich \ud800 \x00 漢",
    finish="length",
    prompt_ids=(1, 2, 3),
    ids=(4, 5),
    logprobs=(-0.1234567890123456789, -math.inf),
    scores=((-1.5, 3), (-2.25, 4)),
    usage=Usage(prompt=3, cached=1, completion=2),
    version="v1",
    how="guided",
)


def test_completions_and_requests_come_back_as_they_were(run: Writer) -> None:
    one = match()
    key = f"{one.id}/bidder_0/0"
    asked = Request(
        key=key,
        agent="a",
        model="m",
        adapter="x",
        messages=(Message("system", "be \udfff brief"), Message("assistant", "ok", (7, 8))),
        sampling=Sampling(temperature=0.7, stop=("a", "b")),
        seed=2**48 - 1,
        schema={"type": "object"},
        score=("yes", "no"),
    )
    run.start(one)
    put(run, (asked, FULL))
    assert run.answers(one.id)[key].completion == FULL
    assert run.answers(one.id)[key].seconds == 0.5
    assert run.requests(one.id) == {key: asked}
    assert run.spent() == {"a": (1, 3, 2)}


def test_a_trajectory_comes_back_as_it_was(run: Writer) -> None:
    turn = Turn(
        n=0, seat="s_0", agent="a", phase="p", calls=("k",), fields={"x": [1, {"y": None}]}, outcome="ok", state="h"
    )
    event = Event(0, "deal", "", ("s_0",), "card", {"secret": "ü"})
    played = Trajectory(
        match=match(),
        status="done",
        turns=(turn,),
        events=(event, Event(1, "deal", "s_0", None, "act", {})),
        returns={"s_0": 0.1},
        metrics={"m": 1.0},
        truth={"t": [1]},
        outcomes={"s_0": {"ok": 1}},
    )
    asyncio.run(run.finish(played, 1.25))
    assert run.trajectory(played.match.id) == played
    assert list(run.trajectories()) == [played]
    (result,) = run.results()
    assert (result.match, result.status, result.returns, result.seconds) == (played.match, "done", {"s_0": 0.1}, 1.25)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), max_size=3))))
def test_prompts_kept_as_differences_come_back_whole(calls: list[tuple[list[int], list[int]]]) -> None:
    with tempfile.TemporaryDirectory() as folder, start_run(folder, toy.META) as run:
        pairs = [
            (
                request(f"m/s/{n}", score=("x",) if n % 3 == 2 else ()),
                Completion(text="", prompt_ids=tuple(p), ids=tuple(i)),
            )
            for n, (p, i) in enumerate(calls)
        ]
        put(run, *pairs)
        back = run.answers("m")
        assert [back[r.key].completion for r, _ in pairs] == [c for _, c in pairs]


def test_a_growing_conversation_stays_linear_on_disk(run: Writer) -> None:
    texts: list[str] = []
    ids: tuple[int, ...] = ()
    for n in range(60):
        texts += [f"{n} question " + "word " * 50 + os.urandom(40).hex(), f"{n} answer"]
        prompt = (*ids, *os.urandom(200))
        ids = (*prompt, *os.urandom(20))
        put(run, (request(f"m/s/{n}", *texts), Completion(text="x", prompt_ids=prompt, ids=ids[len(prompt) :])))
    size = sum(row[0] for row in run._rows("SELECT length(completion) FROM completions"))
    assert size < 60 * 220 * 4  # whole prompts would be 60 * 60 / 2 * 220 tokens
    assert run._rows("SELECT COUNT(*) FROM pool").__next__()[0] == 120
    assert run.answers("m")["m/s/59"].completion.prompt_ids == prompt
    assert [m.content for m in run.requests("m")["m/s/59"].messages] == texts


@given(st.lists(st.integers(0, 1), max_size=5), st.lists(st.integers(0, 1), max_size=5))
def test_common_counts_shared_leading_tokens(one: list[int], other: list[int]) -> None:
    size = common(tuple(one), tuple(other))
    assert one[:size] == other[:size]
    assert one[size : size + 1] != other[size : size + 1] or size == len(one) == len(other)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_pack_and_unpack_are_inverse(value: object) -> None:
    assert codec.unpack(codec.pack(value)) == value


def test_only_what_is_asked_makes_a_digest() -> None:
    def digest(key: str = "m/s/0", **rest: object) -> str:
        return request_digest(request(key, **rest), ("h1",))

    assert digest() == digest(seed=9) == digest(key="n/s/0")
    changed = [digest(model="n"), digest(adapter="x"), digest(schema={}), digest(score=("a",)), digest(agent="b")]
    changed.append(digest(sampling=Sampling(temperature=0.5)))
    assert len({digest(), *changed}) == 7


def test_two_agents_of_one_name_never_share_a_match() -> None:
    def name(agents: dict[str, str], **rest: object) -> str:
        return new_match("toy", {"n": 1}, {"s_0": "a"}, agents, **{"task_seed": 1, "seed": 2, **rest}).id

    same = name({"a": "1", "b": "2"})
    assert same == name({"a": "1"}) == name({"a": "1"}, unit="u")
    with pytest.raises(UnknownName, match="unknown agent 'a'"):
        name({"b": "2"})
    assert len({same, name({"a": "2"}), name({"a": "1"}, seed=3), name({"a": "1"}, cell={"x": 1})}) == 4


def test_a_second_runner_is_told_who_the_first_is(run: Writer) -> None:
    with pytest.raises(StoreError, match=f"being written by process {os.getpid()} .*give another run folder"):
        start_run(run.folder, toy.META)
    run.start(match())
    run.flush()
    assert list(run.statuses().values()) == ["open"]


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    for _ in range(2):
        start_run(tmp_path, toy.META).close()


def test_readers_see_what_is_committed_and_cannot_write(run: Writer) -> None:
    with open_run(run.folder) as reader:
        run.start(match())
        run.flush()
        assert list(reader.statuses()) == [match().id]
        assert reader.meta == toy.META
        with pytest.raises(sqlite3.OperationalError) as refused:
            reader._connection.execute("DELETE FROM matches")
        assert refused.value.sqlite_errorcode == sqlite3.SQLITE_READONLY
        reading = reader._connection.execute("SELECT * FROM matches")  # a reader in the middle of its rows
        for seed in range(1, 4):
            run.start(match(seed))
        run.flush()
        assert len(run.statuses()) == 4
        reading.close()


def test_another_scenario_is_refused_unless_the_run_is_extended(tmp_path: Path) -> None:
    start_run(tmp_path, toy.META).close()
    with pytest.raises(StoreError, match="another scenario"):
        start_run(tmp_path, {**toy.META, "scenario_hash": "x"})
    with start_run(tmp_path, {**toy.META, "scenario_hash": "x"}, extend=True) as run:
        assert run.meta == toy.META
        assert [s["scenario_hash"] for s in run.sessions()] == [toy.META["scenario_hash"], "x"]


def test_an_execution_says_what_ran_it(run: Writer) -> None:
    (session,) = run.sessions()
    assert session["packages"]["numpy"]
    assert session["hardware"]["cores"]
    assert {"at", "python", "commit", "simarena"} <= set(session)


# ---- what bad input gets -------------------------------------------------------------------------------------------


def test_no_run_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a run folder"):
        open_run(tmp_path / "nowhere")


def test_unknown_and_open_matches_are_named(run: Writer) -> None:
    run.start(match())
    run.flush()
    assert run.find(match().id[:6]) == match().id
    with pytest.raises(StoreError, match="holds no match 'zz'; the first ones are"):
        run.find("zz")
    with pytest.raises(StoreError, match="has not ended; run the same command again"):
        run.trajectory(match().id)
    run.start(match(1))
    run.flush()
    with pytest.raises(StoreError, match="2 matches begin with ''"):
        run.find("")


@pytest.mark.parametrize("opener", [open_run, lambda folder: start_run(folder, toy.META)])
def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path, opener: object) -> None:
    start_run(tmp_path, toy.META).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match=r"later simarena .*upgrade"):
        opener(tmp_path)


@pytest.mark.parametrize("opener", [open_run, lambda folder: start_run(folder, toy.META)])
@pytest.mark.parametrize("damage", ["rubbish", "truncated", "page"])
def test_a_damaged_store_is_refused_and_left_alone(tmp_path: Path, opener: object, damage: str) -> None:
    with start_run(tmp_path, toy.META) as run:
        put(run, *[(request(f"m/s/{n}", os.urandom(500).hex()), FULL) for n in range(40)])
    path = tmp_path / FILE
    whole = path.read_bytes()
    broken = {
        "rubbish": os.urandom(5000),
        "truncated": whole[: len(whole) // 2],
        "page": whole[:8192] + os.urandom(4096) + whole[12288:],
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(StoreError, match=r"is damaged .*left as it is"):
        opener(tmp_path)
    assert path.read_bytes() == broken


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="not written by simarena"):
        start_run(tmp_path, toy.META)


@pytest.mark.parametrize("name", ["lock", FILE, f"{FILE}-wal", f"{FILE}-shm"])
@pytest.mark.parametrize("way", [os.symlink, os.link])
def test_a_link_in_the_place_of_a_file_is_refused_and_what_it_leads_to_stays(
    tmp_path: Path, name: str, way: Callable[[Path, Path], None]
) -> None:
    start_run(tmp_path / "run", toy.META).close()
    (tmp_path / "precious").write_text("the only copy")
    (tmp_path / "run" / name).unlink(missing_ok=True)
    way(tmp_path / "precious", tmp_path / "run" / name)
    with pytest.raises(OutputError, match=f"{name} (is a link|has another name elsewhere)"):
        start_run(tmp_path / "run", toy.META)
    assert (tmp_path / "precious").read_text() == "the only copy"


def test_a_folder_with_other_files_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("mine: who has the keys")
    with pytest.raises(OutputError, match="lock is there, and is no lock of a run"):
        start_run(tmp_path, toy.META)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match=r"holds other files \(notes\)"):
        start_run(tmp_path, toy.META)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "lock": "mine: who has the keys",
        "notes": "mine",
    }


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write in .*file/run"):
        start_run(tmp_path / "file" / "run", toy.META)


def child(script: str, folder: Path) -> str:
    """What a script prints, run in a process of its own."""
    code = "import sys\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n" + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_read_only_folder_can_be_read_and_says_why_it_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as folder:  # one that any user can reach
        path = Path(folder)
        with start_run(path / "run", toy.META) as run:
            run.start(match())
        for name, mode in (("run/run.sqlite", 0o444), ("run/lock", 0o444), ("run", 0o555), ("", 0o555)):
            (path / name).chmod(mode)
        said = child(
            """
            import os
            from simarena.errors import StoreError, UnknownName
            from simarena.store import open_run, start_run
            from simarena.provenance import provenance
            provenance()
            if os.geteuid() == 0:
                os.setuid(65534)
            print(len(open_run(folder / "run").statuses()))
            for name in ("run", "new"):
                try:
                    start_run(folder / name, {"scenario_hash": "x"})
                except StoreError as error:
                    print(error)
            """,
            path,
        )
        path.chmod(0o755)
        (path / "run").chmod(0o755)
    first, second, third = said.splitlines()
    assert first == "1"
    assert second.startswith(f"cannot write in {path / 'run'}")
    assert third.startswith(f"cannot write in {path / 'new'}")


def test_a_file_that_cannot_grow_costs_nothing_that_was_committed(tmp_path: Path) -> None:
    said = child(
        """
        import asyncio, os, resource
        from simarena.errors import StoreError, UnknownName
        from simarena.records import Completion, Message, Request
        from simarena.store import start_run

        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        async def fill(run):
            for n in range(10_000):
                text = Message("user", os.urandom(2000).hex())
                request = Request(key=f"m/s/{n}", agent="a", model="m", messages=(text,))
                await run.answer(request, Completion(text="x"), 0.1)
                print(n)
        run = start_run(folder, {"scenario_hash": "x"})
        for _ in range(2):
            try:
                asyncio.run(fill(run))
            except StoreError as error:
                print(error)
        try:
            run.close()
        except StoreError as error:
            print(error)
        """,
        tmp_path,
    )
    lines = said.splitlines()
    errors = [line for line in lines if not line.isdigit()]
    committed = [line for line in lines if line.isdigit()]
    assert len(errors) == 2  # closing the run says nothing new
    assert set(errors) == {errors[0]}
    assert str(tmp_path) in errors[0]
    assert "is kept" in errors[0]
    with start_run(tmp_path, {"scenario_hash": "x"}) as run:
        keys = [f"m/s/{n}" for n in range(len(committed))]
        assert list(run.answers("m")) == keys
        put(run, (request(f"m/s/{len(keys)}"), FULL))


def test_what_is_left_is_written_when_the_run_is_closed(tmp_path: Path) -> None:
    with start_run(tmp_path, toy.META) as run:
        for seed in range(50):
            run.start(match(seed))
    with open_run(tmp_path) as reader:
        assert len(reader.matches()) == 50
        assert reader.matches()[7] == match(7)


def test_tables_hold_all_but_times(tmp_path: Path) -> None:
    tables = []
    for folder, concurrency in ((tmp_path / "one", 1), (tmp_path / "many", 16)):
        agents = {name: toy.Talker(name) for name in ("a", "b")}
        backends = {"scripted": ScriptedBackend(toy.answer)}
        with start_run(folder, toy.META) as run:
            matches = toy.schedule(list(agents.values()), 20)
            asyncio.run(rollout(run, matches, agents, backends, concurrency=concurrency))
            tables.append(run.tables())
    assert json.dumps(tables[0], sort_keys=True) == json.dumps(tables[1], sort_keys=True)
    assert len(tables[0]["matches"]) == 20
