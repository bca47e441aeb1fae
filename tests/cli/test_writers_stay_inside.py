"""Whatever names and paths a command is given: it writes where it was told to, and replaces nothing but its own.

A machine draws commands, names and places, and watches a whole tree of folders from above: after each command
everything that somebody else made is as it was, and what is new lies where the command was told to write.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from simarena.backends import vllm_serve
from simarena.backends.vllm_options import VLLMOptions
from simarena.cli import call, serve
from simarena.league import check, learning
from simarena.preferences.record import write_jsonl
from simarena.registry import BACKENDS
from tests.league import canned
from tests.tiny import Tiny
from tests.training.planted import chat, record

ROOT = Path(__file__).parent.parent.parent
RUN = ("debate/khan_persuasive_debate", "--scale", "mini", "--set", "data.size=1", "--set", "protocol=direct", "-q")
TRAIN = ("--set", "batch=4", "--set", "rank=2", "--set", "epochs=1", "-q")
LEAGUE = {
    "judging": "score",
    "m": 3,
    "data.task": "arithmetic",
    "data.params": {"shape": "a+b", "high": 99},
    "judges.judge": ["arena/truthful"],
    "league.matches": 3,
    "league.rounds": 1,
    "league.exam": {"questions": 2, "final": 2},
    "league.guards.label_accuracy": 0,
    "league.changes": {},
    "league.members": [],
    "league.expect": [],
}
SIDES = ("run.sqlite-wal", "run.sqlite-shm")
"""SQLite keeps them beside a run for readers too."""

Look = tuple[int, str]
"""Mode; a link's target or a file's hash."""


def look(path: Path) -> Look:
    """What stands at a path, links being themselves."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return found.st_mode, os.readlink(path)
    if stat.S_ISREG(found.st_mode):
        return found.st_mode, hashlib.sha256(path.read_bytes()).hexdigest()
    return found.st_mode, ""


def tree(root: Path) -> dict[Path, Look]:
    """Everything below a folder."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            found[Path(folder, name)] = look(Path(folder, name))
    return found


def canned_lesson(lesson: Any) -> learning.Learnt:
    """A lesson that takes no time; it writes nothing but one file in the folder that it was given."""
    lesson.folder.mkdir(parents=True, exist_ok=True)
    (lesson.folder / "learnt.yaml").write_text(
        yaml.safe_dump({"backend": "openai", "model": "90", "name": f"{lesson.member}@{lesson.version}"})
    )
    return learning.Learnt(file=lesson.folder / "learnt.yaml", about={"steps": 1})


@pytest.fixture(scope="module")
def given(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user has at first: agents, pairs, a run."""
    home = tmp_path_factory.mktemp("given")
    (home / "agents").mkdir()
    (home / "agents/ann.yaml").write_text(f"backend: transformers\nmodel: {tiny.base}\n")
    for name, skill in (("bob", 50), ("cid", 70)):
        canned.agent(home / "agents", name, skill)
    with (home / "pairs.jsonl").open("w") as file:
        write_jsonl((record(n, template=chat()) for n in range(4)), file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert call(["run", *RUN, "--out", "run"]) == 0
    return home


@pytest.fixture
def replaced() -> Iterator[None]:
    """Models and servers that answer at once, in place of those that need weights and minutes."""
    served = vllm_serve.Served(
        base=SimpleNamespace(version="base"),  # type: ignore[arg-type]
        adapters={},
        options=VLLMOptions(),
        rank=1,
        port=18_391,
    )
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "openai", "tests.league.canned:Backend")
        patch.setattr(check, "can_learn", lambda _: True)
        patch.setattr(learning, "train", canned_lesson)
        patch.setattr(serve, "prepared", lambda roles, *_: (served, {role.member.name: None for role in roles}))
        patch.setattr(serve, "agent_file", lambda role, *_: {"name": role.member.name, "backend": "openai"})
        patch.setattr(vllm_serve.Served, "command", lambda *_: [sys.executable, "-S", "-c", "print('served')"])
        patch.setattr(vllm_serve.Servers, "wait_healthy", lambda *_: None)
        patch.setattr(vllm_serve.Servers, "wait", lambda self: [each.wait() for each in self.processes])
        yield
    signal.signal(signal.SIGTERM, before)


PRECIOUS = ("precious", "precious@1", "ann@precious")
NAMES = st.sampled_from(["ann", "Ann", "new", "a.b", "naïve", "1", "x@y"]) | st.sampled_from(
    [
        *("..", "../precious", "../../precious", "../../../precious", "../../../../precious", "{above}/precious"),
        *("a/b", "a\\b", ".hidden", "end.", " lead", "CON", "nul.txt", "a:b", "nai\u0308ve", "x" * 121, "x" * 300),
        *("tab\there", "new\nline", "\u202eback", "nothing\0more", "-", "link", "precious", "run"),
    ]
)
FOLDERS = st.sampled_from(["outs/one", "outs/two", "linked/one"]) | st.sampled_from(
    [
        *("outs/a/deep/one", "linked", "./outs/../outs/one", "{above}/outs/one"),
        *("run", "outs", "agents", ".", "", "precious", "precious.txt", "link", "link.txt", "dangling", "pipe", "hard"),
        *("outs/" + "x" * 300, "precious.txt/one", "pipe/one", "nothing\0more", "dangling/one", "agents/ann.yaml"),
    ]
)
FILES = st.sampled_from(["x.jsonl", "outs/x.jsonl", "linked/x.jsonl", "new/deep/x.jsonl"]) | st.sampled_from(
    [
        *("precious.txt", "link.txt", "dangling", "pipe", "hard", "precious", "link", "pairs.jsonl", "", "."),
        *("run/run.sqlite", "run/lock", "runlink/run.sqlite", "run/run.sqlite-wal", "run", "agents/ann.yaml"),
        *("precious/x.jsonl", "precious.txt/x.jsonl", "x" * 300, "nothing\0more", "hard.jsonl", "link.jsonl"),
    ]
)
INSIDE = st.sampled_from(
    [
        *("lock", "run.sqlite", "run.sqlite-wal", "run.sqlite-shm", "timeline.json", "ann@1", "ann@1.yaml", "new@1"),
        *("metrics.jsonl", "training.json", "checkpoints", "reference.sqlite", "round-1", "final", "exams", "notes"),
        *("round-1/pairs", "round-1/play", "final/bob.json", "round-1/agents/bob", "bob.yaml", "vllm-18391.log"),
        *("league.json", "lineage.json", "train.jsonl", "manifest.json", "README.md", "checkpoints/step-00000001"),
    ]
)


class Writers(RuleBasedStateMachine):
    """One user's folders, and whatever commands do to them."""

    given: Path

    @initialize()
    def begin(self) -> None:
        self.before_all = Path.cwd()
        self.above = Path(tempfile.mkdtemp(prefix="simarena-above-")).resolve()
        self.home = self.above / "users" / "home"
        shutil.copytree(self.given, self.home)
        for folder in (self.above, self.home.parent, self.home, self.home / "outs"):
            for name in PRECIOUS:
                (folder / name).mkdir(parents=True)
                (folder / name / "thesis.txt").write_text("the only copy")
        for folder in (self.above, self.home):
            (folder / "precious.txt").write_text("the only copy")
        for name, target in {
            "link": "precious",
            "link.txt": "precious.txt",
            "link.jsonl": "../../precious.txt",
            "dangling": "nowhere",
            "linked": "../elsewhere",
            "runlink": "run",
        }.items():
            (self.home / name).symlink_to(target)
        (self.home.parent / "elsewhere").mkdir()
        os.mkfifo(self.home / "pipe")
        for name in ("hard", "hard.jsonl"):
            os.link(self.above / "precious.txt", self.home / name)
        self.owner: dict[Path, object] = dict.fromkeys(tree(self.home / "run"), ("run", self.home / "run"))
        """File or folder that a command made -> which."""
        self.folders: list[Path] = []
        """Those that commands made for themselves."""
        os.chdir(self.home)

    def teardown(self) -> None:
        if hasattr(self, "above"):
            os.chdir(self.before_all)
            shutil.rmtree(self.above)

    def place(self, text: str) -> str:
        """A place or a name with the folder above all filled in."""
        return text.replace("{above}", str(self.above))

    def command(
        self, *words: str, out: str = "", alone: bool = False, beside: str = "", granted: Iterable[Path] = ()
    ) -> None:
        """Call a command that may write to `out`, and look at what it did.

        `out` is a folder, or (`alone`) a file, with one of a longer name `beside` it. It may change what the same
        command has made there before, and what is `granted`.
        """
        before = tree(self.above)
        call([*words, *(["--out", out] if out else [])])
        after = tree(self.above)
        target = real(out, alone) if out else None
        places = {target, target.with_name(target.name + beside)} if target else set()
        who = (words[0], target)
        said = f"{' '.join(map(repr, words))} --out {out!r}"
        differing = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
        free = {path for path in differing if path in granted or self.is_side(path, before.get(path))}
        free |= {path for path in differing if path in before and self.owner.get(path) == who}
        removed = [path for path in differing if path not in after and path not in free]
        changed = [path for path in differing if path in before and path in after and path not in free]
        inside = [path for path in differing if places & {path, *path.parents} or (target and path in target.parents)]
        made = [path for path in differing if path not in before and path not in free and path not in inside]
        assert not removed, f"{said} removed {self.seen(removed)}"  # three lines: three findings, each with its example
        assert not changed, f"{said} changed {self.seen(changed)}"
        assert not made, f"{said} made {self.seen(made)}"
        self.owner = {path: each for path, each in self.owner.items() if path in after}
        self.owner |= dict.fromkeys(after.keys() - before.keys(), who)
        if target in self.owner and target.is_dir():
            self.folders.append(target)

    def seen(self, paths: list[Path]) -> str:
        """Paths as seen from above."""
        return ", ".join(str(path.relative_to(self.above)) for path in sorted(paths))

    def is_side(self, path: Path, before: Look | None) -> bool:
        """Whether it is SQLite's own, of a run that nobody has put anything into."""
        regular = before is None or (stat.S_ISREG(before[0]) and path in self.owner)
        return path.name in SIDES and path.with_name("run.sqlite") in self.owner and regular

    def ordinary(self, out: str, *endings: str) -> set[Path]:
        """Those files among `out` with these endings that are no links, devices or hidden parts of the run."""
        found = {path for ending in endings if (path := real(out + ending, True)) and is_ordinary(path)}
        return found if out == "run" else {path for path in found if path.parent != self.home / "run"}

    def agent(self, name: str, text: str) -> str:
        """An agent file that gives its agent a name."""
        path = self.home / "agents/odd.yaml"
        path.write_text(text + yaml.safe_dump({"name": self.place(name)}, allow_unicode=True))
        return str(path)

    # ---- what others do ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.folders)
    @rule(
        data=st.data(),
        name=INSIDE,
        what=st.sampled_from(["file", "folder", "link", "link to a folder", "hard", "pipe"]),
    )
    def somebody_puts(self, data: Any, name: str, what: str) -> None:
        """Something of somebody else's in a folder that a command made, in the place of what is there."""
        folder = data.draw(st.sampled_from(sorted(set(self.folders))))
        path = folder / name
        if not path.parent.is_dir() or path.parent.is_symlink() or (name in SIDES and what == "file"):
            return  # no folder to put it in; or a damaged run, which is SQLite's to mend
        for old in [path, *(tree(path) if path.is_dir() and not path.is_symlink() else ())]:
            self.owner.pop(old, None)
        remove(path)
        put(path, what, self.above)


class Playing(Writers):
    """Commands that play into a run folder, and those that only read one."""

    @rule(out=FOLDERS, more=st.sampled_from([(), ("--set", "rounds=1"), ("--profile",)]))
    def run(self, out: str, more: tuple[str, ...]) -> None:
        self.command("run", *RUN, *more, out=self.place(out) or ".")

    @rule(out=FOLDERS)
    def tournament(self, out: str) -> None:
        self.command("tournament", *RUN, "--set", "protocol=debate", "--games", "1", out=self.place(out) or ".")

    @rule(out=FOLDERS)
    def verify(self, out: str) -> None:
        self.command("verify", RUN[0], out=self.place(out) or ".")

    @rule(words=st.sampled_from(["show run", "rate run", "replay run", "export run --out -", "list agents", "doctor"]))
    def read(self, words: str) -> None:
        self.command(*words.split())


class Training(Writers):
    """Names of agents and versions."""

    @rule(out=FOLDERS, name=st.just("") | NAMES, version=st.just("1") | NAMES, file=st.just("") | NAMES)
    def train(self, out: str, name: str, version: str, file: str) -> None:
        words = ["--name", self.place(name)] if name else []
        words += ["--version", self.place(version)]
        agent = self.agent(file, (self.home / "agents/ann.yaml").read_text()) if file else "ann"
        self.command("train", "pairs.jsonl", "--agent", agent, *words, *TRAIN, out=self.place(out) or ".")


class Caching(Writers):
    """The cache of log-probabilities that trainings may share, which is named by a path."""

    @rule(
        out=FOLDERS, cache=st.sampled_from(["run/run.sqlite", "link.txt", "precious.txt", "hard", "pipe", "precious"])
    )
    def train_with_a_cache(self, out: str, cache: str) -> None:
        more = ("--set", f"reference_cache={cache}", "--version", "1")
        self.command("train", "pairs.jsonl", "--agent", "ann", *more, *TRAIN, out=self.place(out) or ".")


class Learning(Writers):
    """Names of members, which become files and folders."""

    @rule(out=FOLDERS, name=st.just("dan") | NAMES)
    def league(self, out: str, name: str) -> None:
        agent = self.agent(name, "backend: openai\nmodel: '60'\noptions: {base_url: 'http://localhost:1/v1'}\n")
        sets = [
            word
            for key, value in LEAGUE.items()
            for word in ("--set", f"{key}={yaml.safe_dump(value, width=9**9, default_flow_style=True)}")
        ]
        words = ("--agents", "bob", "cid", agent, *sets, "-q")
        self.command("league", "arena/sparta_combat", *words, out=self.place(out) or ".")


class Recording(Writers):
    """Commands that write a run down elsewhere, or play on in it."""

    @rule(out=FILES | FOLDERS, force=st.booleans())
    def pairs(self, out: str, force: bool) -> None:
        out, alone = self.place(out) or ".", out.endswith((".jsonl", ".json"))
        names = ("", ".manifest.json") if alone else ("/train.jsonl", "/manifest.json", "/README.md")
        more = {"alone": alone, "beside": ".manifest.json" if alone else "", "granted": self.ordinary(out, *names)}
        words = ("pairs", "run", "--builder", "verdict")
        self.command(*words, "--force", out=out, **more) if force else self.command(
            *words, out=out, **more | {"granted": ()}
        )

    @rule(out=FILES | FOLDERS, force=st.booleans())
    def export(self, out: str, force: bool) -> None:
        out = self.place(out) or "."
        if force:
            self.command("export", "run", "--force", out=out, alone=True, granted=self.ordinary(out, ""))
        else:
            self.command("export", "run", out=out, alone=True)

    @rule()
    def branch(self) -> None:
        self.command("branch", "run", "--every", "judge", "-q", granted=self.ordinary("run", "/run.sqlite", "/lock"))


class Serving(Writers):
    """Agent files and logs of servers."""

    @rule(out=FOLDERS, name=st.just("dan") | NAMES)
    def serve(self, out: str, name: str) -> None:
        agent = self.agent(name, (self.home / "agents/ann.yaml").read_text())
        self.command("serve", agent, "ann", "--port", "18391", out=self.place(out) or ".")


class Everything(Playing, Training, Caching, Learning, Recording, Serving):
    """All of them in one tree, each in the way of the others."""


def real(out: str, alone: bool) -> Path | None:
    """Where a command should write: links on the way to `out` are the user's, a file itself is no link."""
    try:
        path = Path(out).absolute()
        return path.parent.resolve() / path.name if alone else path.resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def is_ordinary(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put(path: Path, what: str, above: Path) -> None:
    """A file, a folder with something in it, or a way to one that lies elsewhere."""
    if what == "folder":
        path.mkdir()
        (path / "thesis.txt").write_text("the only copy")
    elif what == "file":
        path.write_text("the only copy")
    elif what == "hard":
        os.link(above / "precious.txt", path)
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(above / ("precious.txt" if what == "link" else "precious"))


@pytest.mark.timeout(900)  # a minute of work; an example that is to be made smaller takes longer
@pytest.mark.usefixtures("replaced")
@pytest.mark.parametrize("kind", [Playing, Training, Caching, Learning, Recording, Serving, Everything])
def test_nothing_is_written_outside_of_out_and_nothing_of_others_is_replaced(kind: type[Writers], given: Path) -> None:
    machine = type(kind.__name__, (kind,), {"given": given})
    few = settings(
        max_examples=int(os.environ.get("EXAMPLES", "6")),
        stateful_step_count=10,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)


# ---- parents that nobody may write in --------------------------------------------------------------------------------

AS_NOBODY = """
import contextlib, io, json, os, sys
from simarena.cli import call


def said(words):
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        code = call(words)
    return code, err.getvalue()


may, may_not = json.loads(sys.argv[1])
control = [said(words) for words in may]
if os.geteuid() == 0:
    os.setuid(65534)
print(json.dumps([control, [said(words) for words in may_not]]))
"""


def commands(folder: Path) -> list[list[str]]:
    """One of every command that writes, into a folder that holds a run and a file."""
    return [
        ["run", *RUN, "--out", f"{folder}/new"],
        ["run", *RUN, "--out", f"{folder}/run"],
        ["verify", RUN[0], "--out", f"{folder}/verified"],
        ["export", f"{folder}/run", "--out", f"{folder}/new.jsonl"],
        ["export", f"{folder}/run", "--out", f"{folder}/mine.jsonl", "--force"],
        ["pairs", f"{folder}/run", "--builder", "verdict", "--out", f"{folder}/data"],
        ["branch", f"{folder}/run", "--every", "judge", "-q"],
        ["train", f"{folder}/../pairs.jsonl", "--agent", f"{folder}/../ann.yaml", *TRAIN, "--out", f"{folder}/trained"],
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)  # it loads torch in a process of its own
def test_where_nobody_may_write_a_command_says_so_and_leaves_everything(given: Path, tiny: Tiny) -> None:
    with tempfile.TemporaryDirectory() as name:  # one that any user can reach
        home = Path(name)
        for folder in ("open", "shut"):
            shutil.copytree(given / "run", home / folder / "run")
            (home / folder / "mine.jsonl").write_text("the only copy")
        shutil.copytree(tiny.base, home / "base")
        shutil.copy(given / "pairs.jsonl", home)
        (home / "ann.yaml").write_text("backend: transformers\nmodel: base\n")
        for path in [*home.rglob("*"), home]:
            if home / "open" not in (path, *path.parents):
                path.chmod(0o555 if path.is_dir() else 0o444)
        before = tree(home / "shut")
        words = json.dumps([commands(home / "open"), commands(home / "shut")])
        child = [sys.executable, "-c", AS_NOBODY, words]
        done = subprocess.run(child, cwd=ROOT, capture_output=True, text=True, check=True)
        assert tree(home / "shut") == before
        for path in (home, home / "shut", home / "shut" / "run"):
            path.chmod(0o755)
    control, said = json.loads(done.stdout.splitlines()[-1])
    assert [code for code, _ in control] == [0] * len(said), control
    for command, (code, err) in zip(commands(home / "shut"), said, strict=True):
        assert code == 1, (command, err)
        assert len(err.splitlines()) == 1, (command, err)
        assert str(home / "shut") in err, (command, err)
