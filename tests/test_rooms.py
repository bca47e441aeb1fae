"""The rooms and who may know whom, read from the source: data flows down, and what is dangerous is nowhere."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from simarena.backends import opening

PACKAGE = Path(__file__).parent.parent / "simarena"
FILES = sorted(PACKAGE.rglob("*.py"))

ROOMS = {
    "nouns": [
        "records",
        "errors",
        "registry",
        "paths",
        "seeds",
        "reading",
        "identity",
        "codec",
        "yamlfile",
        "names",
        "outputs",
        "threads",
    ],
    "tasks": ["tasks"],
    "envs": ["envs"],
    "backends": ["backends"],
    "agents": ["agents"],
    "store": ["store", "store_file", "journal", "ledger", "lock", "provenance", "export"],
    "casting": ["casting"],
    "scenario": ["scenario", "scenario_check", "league_spec"],
    "tournament": ["tournament"],
    "preferences": ["preferences"],
    "training": ["training"],
    "play": ["rollout", "replay", "branch", "progress", "gym"],
    "runs": [],
    "cli": ["cli"],
    "door": ["__init__"],
}
"""Room -> its modules and packages, from the top of the stream to its end. Modules that no other room names put the
rooms together: they are of "runs"."""

MAY_KNOW = {
    "nouns": set(),
    "tasks": {"nouns"},
    "envs": {"nouns", "tasks"},
    "backends": {"nouns"},
    "agents": {"nouns", "tasks"},
    "store": {"nouns"},
    "casting": {"nouns", "backends", "agents", "store"},
    "scenario": {"nouns", "tasks", "envs", "agents", "casting"},
    "tournament": {"nouns"},
    "preferences": {"nouns", "tasks", "envs", "store"},
    "training": {"nouns", "backends", "agents", "store", "casting", "preferences"},
    "play": {"nouns", "tasks", "envs", "backends", "agents", "scenario", "store"},
    "runs": {*ROOMS} - {"runs", "cli", "door"},
    "cli": {*ROOMS} - {"cli", "door"},
    "door": {"envs"},
}

LONGEST = 450


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return next((room for room, parts in ROOMS.items() if part in parts), "runs")


def imported(path):
    """Full names of what a file imports, `if TYPE_CHECKING` and imports inside functions included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_room_is_there():
    assert {room_of(path) for path in FILES} == set(ROOMS)
    named = [part for parts in ROOMS.values() for part in parts]
    assert len(named) == len(set(named))
    assert set(named) <= {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_data_flows_down(path):
    here = room_of(path)
    for name in imported(path):
        if name.split(".")[0] == "simarena" and name != "simarena.__version__":
            target = PACKAGE.joinpath(*name.split(".")[1:2])
            there = room_of(target if target.is_dir() else target.with_suffix(".py"))
            assert there == here or there in MAY_KNOW[here], f"{path.name} ({here}) imports {name} ({there})"


def test_the_order_of_rooms_is_one_that_data_can_flow_through():
    order = list(ROOMS)
    for room, known in MAY_KNOW.items():
        assert all(order.index(each) < order.index(room) for each in known)
    assert not MAY_KNOW["envs"] & {"backends", "agents"}
    assert not MAY_KNOW["backends"] & {"envs", "agents"}
    assert not MAY_KNOW["agents"] & {"envs", "backends"}
    assert not any("cli" in known for known in MAY_KNOW.values())


@pytest.mark.parametrize("room", ["tasks", "envs"])
def test_pure_rooms_reach_for_nothing_outside(room):
    outside = {"time", "datetime", "socket", "subprocess", "asyncio", "threading", "secrets", "uuid", "urllib", "http"}
    for path in FILES:
        if room_of(path) == room:
            names = set(imported(path))
            assert not {name.split(".")[0] for name in names} & outside, path
            drawn = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
            own = {"random.Random"} if "random" in names else drawn  # else `random` is a parameter's name
            moving = {name for name in drawn | names if name.startswith(("random.", "np.random.", "numpy.random."))}
            assert moving <= own | {"random.Random"}, f"{path}: {moving} are process-wide"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_its_job_and_is_of_a_size_to_read(path):
    assert (ast.get_docstring(tree(path)) or "").strip(), f"{path} does not say its job"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{path}: {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_runs_text_as_code(path):
    modules = {name.split(".")[0] for name in imported(path)}
    assert not modules & {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in (
                "eval",
                "exec",
                "compile",
                "__import__",
                "yaml.load",
                "yaml.unsafe_load",
                "torch.load",
            ), f"{path}:{node.lineno}: {name}"
            unsafe = any(key.arg == "shell" and getattr(key.value, "value", False) for key in node.keywords)
            assert not unsafe, f"{path}:{node.lineno}: a shell"


OPENING = PACKAGE / "backends" / "opening.py"
LOADERS = re.compile(
    r"from_pretrained|Auto(Config|Tokenizer|Processor|Model\w*)|PeftModel\w*|safe_open|load_file|load_sharded_checkpoint"
    r"|load_checkpoint\w*|get_class_from_dynamic_module|pickle(\.\w+)?|joblib|torch\.load|np\.load"
)
"""Names of what makes a model, a tokenizer, an adapter or tensors out of files."""
SCRIPTS = sorted((PACKAGE.parent / "analysis").rglob("*.py"))


def loaders(path):
    """Loaders that a file names: as a name, an attribute, or an import."""
    for node in ast.walk(tree(path)):
        names = [ast.unparse(node), node.attr] if isinstance(node, ast.Attribute) else []
        names += [node.id] if isinstance(node, ast.Name) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        yield from (name for name in names if LOADERS.fullmatch(name))


@pytest.mark.parametrize("path", FILES + SCRIPTS, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_checkpoints_are_opened_in_one_place(path):
    assert bool(set(loaders(path))) == (path == OPENING), f"{path} loads with {', '.join(loaders(path))}"


def test_what_is_opened_there_is_opened_as_data():
    calls = [node for node in ast.walk(tree(OPENING)) if isinstance(node, ast.Call)]
    by_transformers, by_peft = (
        [
            {key.arg or ast.unparse(key.value) for key in call.keywords}
            for call in calls
            if ast.unparse(call.func) == name
        ]
        for name in ("kind.from_pretrained", "PeftModel.from_pretrained")
    )
    assert by_transformers == [{"AS_DATA", "how"}]
    assert by_peft == [{"config", "is_trainable"}], "its settings are ours, not the folder's"
    assert sum(isinstance(call.func, ast.Attribute) and call.func.attr == "from_pretrained" for call in calls) == 2
    assert opening.AS_DATA == {"local_files_only": True, "trust_remote_code": False}


def test_opening_the_front_door_is_light():
    heavy = ["torch", "transformers", "peft", "vllm", "ray", "fastapi", "aiohttp", "pettingzoo", "numpy", "pydantic"]
    code = f"import sys, simarena; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_making_an_environment_loads_no_model_runtime():
    heavy = ["torch", "transformers", "peft", "vllm", "aiohttp", "rich", "typer", "yaml"]
    code = f"import sys, simarena; simarena.make('roundtable'); print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
