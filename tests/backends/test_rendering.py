"""Templates in a process of their own: the text is that of transformers, and nothing goes on for ever."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from simarena import paths
from simarena.backends import rendering
from simarena.backends.opening import open_tokenizer
from simarena.backends.rendering import BoundError, Renderer, RenderError, render
from simarena.backends.template import ChatTemplate
from simarena.errors import MissingModel
from tests.hostile import ENDLESS, ESCAPES
from tests.tiny import CHAT, tokenizer

MESSAGES = [{"role": "system", "content": "é\u2028\ue0000\ue001"}, {"role": "user", "content": "\U0001f600 <b>"}]
FEATURES = [
    CHAT,
    "{{ bos_token }}{{ eos_token }}{{ pad_token }}|{% if tools %}t{% endif %}{% if documents is none %}d{% endif %}",
    "{% for m in messages %}{{ m | tojson }}{% if loop.first %}{% continue %}{% endif %}{% break %}{% endfor %}",
    "{% for m in messages %}\n  {% generation %}\n {{ m['content'] | trim }}\n{% endgeneration %}\n{% endfor %}\n",
    "{{ strftime_now('%Y') }}{{ messages[0].content | upper }}{% set n = namespace(a=1) %}{{ n.a }}",
]


@pytest.mark.parametrize("template", FEATURES)
def test_the_text_is_what_transformers_itself_renders(template: str) -> None:
    words = tokenizer(template)
    theirs = words.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert render(template, MESSAGES, words.special_tokens_map) == theirs


def test_the_shipped_template_is_rendered_alike() -> None:
    words = open_tokenizer(paths.shipped("agents") / "nano" / "base")
    theirs = words.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    assert render(words.get_chat_template(), MESSAGES, words.special_tokens_map) == theirs


@pytest.mark.parametrize("name", ESCAPES)
def test_the_sandbox_holds(name: str, tmp_path: Any) -> None:
    with pytest.raises(RenderError):
        render(ESCAPES[name].replace("CANARY", str(tmp_path / "canary")), MESSAGES, {})
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ENDLESS)
def test_what_goes_on_for_ever_is_ended_and_the_next_is_rendered(name: str) -> None:
    began = time.process_time()
    with pytest.raises(MissingModel, match=r"the chat template of here .*(more than|recursion)"):
        ChatTemplate(tokenizer(ENDLESS[name]), "here").markers()
    assert time.process_time() - began < 1, "this process waits, it does not compute"
    assert render("{{ messages[0].role }}", MESSAGES, {}) == "system"


def test_much_text_is_refused_with_its_bound() -> None:
    fits = render("{{ 'a' * 1000000 }}", MESSAGES, {})
    assert len(fits) == rendering.CHARACTERS
    with pytest.raises(BoundError, match="writes more than 1,000,000 characters"):
        render("{{ 'a' * 1000001 }}", MESSAGES, {})


def test_a_process_that_is_gone_is_started_again_and_threads_take_turns() -> None:
    mine = Renderer()
    try:
        asked = {"template": "{{ messages[0].content }}", "tokens": {}}
        os.kill(mine._process.pid, signal.SIGTERM)
        mine._process.wait()
        found = dict[int, str]()

        def ask(n: int) -> None:
            found[n] = mine.render(asked | {"messages": [{"role": "user", "content": f"{n} " * 50_000}]})

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert found == {n: f"{n} " * 50_000 for n in range(4)}
    finally:
        mine.close()


def test_several_templates_need_a_default() -> None:
    words = tokenizer({"tools": CHAT})  # type: ignore[arg-type]  # as tokenizers with several have it
    with pytest.raises(MissingModel, match="here has several chat templates and none that is the default"):
        ChatTemplate(words, "here")
    assert ChatTemplate(tokenizer({"default": CHAT, "tools": "x"}), "here").markers()  # type: ignore[arg-type]
