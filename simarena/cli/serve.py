"""The command that serves: agents of one base model behind a vLLM server of one's own."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.records import Force

if TYPE_CHECKING:
    from simarena.backends.vllm_serve import Served
    from simarena.casting import Role
    from simarena.records import JSON

MARK = "# Written by simarena serve; the next call may replace it.\n"
"""How the agent files begin that are written here."""


def serve(
    agents: Annotated[list[str], typer.Argument(metavar="AGENT...", help="Agents of one base checkpoint.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen; replicas take the next ones.")] = 8000,
    out: Annotated[Path | None, typer.Option(help="Write the agent files that point at it into this folder.")] = None,
    force: Force = False,
) -> None:
    """Start vLLM's server for agents, print the agent files that point at it, and stop with Ctrl-C."""
    from simarena import outputs
    from simarena.backends.vllm_serve import Servers

    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="simarena-serve-") as scratch:
        roles = roles_of(agents)
        files = files_of(roles, out, force) if out else {}
        served, adapters = prepared(roles, port, Path(scratch))
        logs = out or Path(scratch)
        with Servers(served, logs) as servers:
            output.note(f"starting vLLM on port {', '.join(map(str, served.ports()))} ...")
            servers.wait_healthy()
            for role in roles:
                text = shown(role, agent_file(role, served, adapters[role.member.name]))
                if path := files.get(role.member.name):
                    outputs.write(path, MARK + text, own=force or outputs.begins(path, MARK))
            output.note("serving; Ctrl-C stops")
            servers.wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def roles_of(names: list[str]) -> list[Role]:
    """The agents, found; ScenarioError where they cannot share a server."""
    from simarena.casting import LOCAL, Cast
    from simarena.errors import ScenarioError

    cast = Cast(names)
    roles = [cast.roles[name] for name in cast.roles]
    for role in roles:
        backend = role.member.spec.backend
        if backend not in LOCAL:
            raise ScenarioError(f"agent {role.member.name} has backend {backend}; serve takes {' and '.join(LOCAL)}")
    if len({role.model for role in roles}) > 1:
        found = ", ".join(sorted({role.model for role in roles}))
        raise ScenarioError(f"one server has one base checkpoint, these agents have {found}; serve each by itself")
    return roles


def prepared(roles: list[Role], port: int, scratch: Path) -> tuple[Served, dict[str, str | None]]:
    """What to serve, and the adapter's name on the server for each agent."""
    from simarena.backends.vllm_check import check_adapter, check_base, highest_rank, write_zero_adapter
    from simarena.backends.vllm_options import VLLMOptions, on_processor, prepare
    from simarena.backends.vllm_serve import Served
    from simarena.threads import elsewhere

    options = VLLMOptions(**options_of(roles))
    prepare(options)
    base = check_base(roles[0].model)
    found = {r.adapter: check_adapter(r.adapter, base, options.max_lora_rank) for r in roles if r.adapter is not None}
    adapters = {each.version: each.folder for each in found.values()}
    names = {r.member.name: None if r.adapter is None else found[r.adapter].version for r in roles}
    if adapters and on_processor():  # see write_zero_adapter: the base, too, needs one beside the others
        zero = f"{base.version}+none"
        adapters[zero] = write_zero_adapter(scratch / "none", base)
        names = {name: adapter or zero for name, adapter in names.items()}
    rank = highest_rank(options, list(found.values()))
    count = options.threads or (elsewhere(options.max_batch, base.width).count if on_processor() else 0)
    return Served(base=base, adapters=adapters, options=options, rank=rank, port=port, threads=count), names


def options_of(roles: list[Role]) -> dict[str, Any]:
    """The options that all agents give vLLM; of others' options the precision."""
    from simarena.errors import ScenarioError

    def own(role: Role) -> dict[str, JSON]:
        given = {key: value for key, value in role.options.items() if not key.startswith("price_")}
        return given if role.member.spec.backend == "vllm" else {"dtype": given.get("dtype", "float32")}

    first = own(roles[0])
    for role in roles[1:]:
        if own(role) != first:
            who = f"{roles[0].member.name} and {role.member.name}"
            raise ScenarioError(f"agents {who} differ in their options; give both {first}")
    return first


def agent_file(role: Role, served: Served, adapter: str | None) -> dict[str, JSON]:
    """The agent as a client of the server."""
    from simarena.backends.template import ChatTemplate
    from simarena.backends.vllm_serve import HOST

    spec = role.member.spec.model_dump(mode="json", exclude_defaults=True)
    urls = [f"http://{HOST}:{port}/v1" for port in served.ports()]
    barred = sorted(ChatTemplate(served.base.tokenizer, role.model).markers() - served.base.ends)
    extra: dict[str, JSON] = {"stop_token_ids": sorted(served.base.ends)}
    if barred:
        extra["logit_bias"] = {str(token): -100 for token in barred}  # role markers are never sampled
    options: dict[str, JSON] = {"base_url": urls[0]} if len(urls) == 1 else {"base_urls": urls}
    prices = {key: value for key, value in role.options.items() if key.startswith("price_")}
    about = {"backend": "openai", "model": served.base.version, "options": {**options, "extra": extra, **prices}}
    kept = {key: value for key, value in spec.items() if key not in (*about, "adapter", "name")}
    return {"name": role.member.name, **about, **({"adapter": adapter} if adapter else {}), **kept}


def files_of(roles: list[Role], out: Path, force: bool) -> dict[str, Path]:
    """Agent's name -> its file in `out`; refused before anything is started where one must not be written."""
    from simarena import names, outputs

    names.distinct([role.member.name for role in roles], "agents to serve")
    found = {role.member.name: outputs.inside(out, f"{role.member.name}.yaml") for role in roles}
    read = [Path(role.member.source) for role in roles if role.member.source]
    for path in found.values():
        outputs.refuse(path, own=force or outputs.begins(path, MARK), inputs=read)
    return found


def shown(role: Role, about: dict[str, JSON]) -> str:
    """Print an agent file; returns its text."""
    import yaml

    text = yaml.safe_dump(about, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    output.say(f"# {role.member.name}.yaml\n{text}")
    return text
