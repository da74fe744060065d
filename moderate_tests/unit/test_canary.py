"""The sweep for secrets finds what is there, and forgets no setting."""

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from moderate.settings import GROUPS
from moderate_tests import canary
from moderate_tests.canary import NotPlantedError, Sweep, secret_variables

SECRETS = ("plain-secret", 'c@nary/of+x:% "y"\\z', "päss+w/rd==", "x" * 40)
NOT_SECRET: Mapping[str, str] = {
    "S3_ACCESS_KEY_ID": "names the key; AWS shows it in logs and links",
    "DATA_KEYS_SOURCE": "says which store",
    "DATA_KEYS_FOLDER": "names a folder",
    "DATA_KEYS_SECRET": "names a Kubernetes Secret",
    "DATA_KEYS_NAMESPACE": "names a namespace",
    "VAULT_KEYS_PATH": "names a folder of the vault",
    "VAULT_TOKEN_FILE": "names a file",
}
"""Settings that sound like secrets and are none."""

TELLING = {
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "KEYS",
    "PASSWORD",
    "SECRET",
    "TOKEN",
    "WEBHOOK",
}


def planted(**changes: str) -> dict[str, str]:
    return {**canary.stand_ins(), **changes}


def holds_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(
        map(holds_secret, get_args(annotation))
    )


def all_fields() -> list[tuple[str, Any]]:
    return [
        pair for group in GROUPS.values() for pair in group.variables().items()
    ]


def test_every_secret_setting_is_swept_for() -> None:
    """Also one whose type is wider than a secret text."""
    found = {n for n, field in all_fields() if holds_secret(field.annotation)}
    assert found == secret_variables()
    assert len(found) >= 8


def test_a_setting_that_sounds_like_a_secret_is_one() -> None:
    telling = {n for n, _ in all_fields() if TELLING & set(n.split("_"))}
    assert telling - secret_variables() == NOT_SECRET.keys()


@pytest.mark.parametrize("name", sorted(secret_variables()))
def test_a_sweep_wants_a_canary_in_each_secret_setting(name: str) -> None:
    with pytest.raises(NotPlantedError, match=name):
        Sweep(planted(**{name: ""}))


# In every form


def in_base64(secret: str, *, before: int) -> str:
    return base64.b64encode(b"x" * before + secret.encode() + b"tail").decode()


FORMS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "in a URL": lambda s: quote(s, safe=""),
    "in a path": quote,
    "in a form": quote_plus,
    "in a URL within a URL": lambda s: quote(quote(s, safe=""), safe=""),
    "in small escapes": lambda s: re.sub(
        "%..", lambda hit: hit[0].lower(), quote(s, safe="")
    ),
    "in JSON": json.dumps,
    "in JSON as UTF-8": lambda s: json.dumps(s, ensure_ascii=False),
    "in JSON in JSON": lambda s: json.dumps(json.dumps({"a": s})),
    "in a repr": repr,
    "in a repr of a dict": lambda s: repr({"a": s}),
    **{
        f"in base64 after {before} bytes": (partial(in_base64, before=before))
        for before in range(4)
    },
    "in a basic login": lambda s: base64.b64encode(
        f"user:{s}".encode()
    ).decode(),
    "in base64 for URLs": lambda s: base64.urlsafe_b64encode(
        s.encode()
    ).decode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_in_every_form(form: str, secret: str) -> None:
    sweep = Sweep(planted(API_PASSWORD=secret))
    sweep.look("a log", [("line", f"before {FORMS[form](secret)} after")])
    assert {leak.secret for leak in sweep.leaks} == {"API_PASSWORD"}
    assert sweep.leaks[0].place == "a log: line"


def test_of_a_url_the_password_and_the_path_are_secret() -> None:
    sweep = Sweep(
        planted(
            RABBIT_URL="amqp://u:p%40ss-of-rabbit@host/%2F",
            NOTIFY_WEBHOOK_URL="https://chat.test/hooks/T0/not-for-all",
        )
    )
    sweep.look("x", [("a", "user u, p@ss-of-rabbit"), ("b", "/T0/not-for")])
    sweep.look("x", [("c", "POST /hooks/T0/not-for-all")])
    assert {leak.secret for leak in sweep.leaks} == {
        "RABBIT_URL",
        "NOTIFY_WEBHOOK_URL",
    }


def test_a_token_and_a_signed_link_are_found_by_their_shape() -> None:
    token = "eyJ" + "a" * 40 + "." + "b" * 40
    link = "http://s3/a?X-Amz-Signature=" + "0a" * 32
    sweep = Sweep(planted())
    sweep.look("x", [("a", token), ("b", quote(link, safe=""))])
    assert {each.secret for each in sweep.leaks} == {"token", "signed URL"}
    sweep.leaks.clear()
    sweep.look("x", [("a", token), ("b", link)], owned=("token", "signed URL"))
    assert not sweep.leaks


def test_who_owns_a_secret_may_have_it_and_no_other() -> None:
    sweep = Sweep(planted())
    said = [("body", "canary-of-api_password canary-of-rabbit_url")]
    sweep.look("platform", said, owned=("API_PASSWORD",))
    assert {each.secret for each in sweep.leaks} == {"RABBIT_URL"}


def test_ordinary_text_is_no_leak_and_nothing_is_no_proof() -> None:
    sweep = Sweep(planted())
    sweep.look("log", [("a", "all is well, password: ***")])
    sweep.look("nothing", [])
    sweep.look("empty", [("a", "")])
    assert not sweep.leaks
    assert sweep.empty_places == ["nothing", "empty"]
    assert "3 places (log, nothing, empty)" in sweep.summary("a test")
    assert sweep.summary("a test").endswith("0 hits")


# In every place


SECRET = "canary-of-a-place"


def found_in(texts: Any) -> bool:
    sweep = Sweep(planted(API_PASSWORD=SECRET))
    sweep.look("here", texts)
    return bool(sweep.leaks)


@pytest.mark.parametrize(
    "name",
    ["log.txt", "deep/er/log", f"{SECRET}.txt", f"{SECRET}/x", "h2.mv.db"],
)
def test_it_is_found_in_files_and_in_their_names(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff\x00" + SECRET.encode() + b"\x00")
    assert found_in(canary.files(tmp_path))
    assert not found_in(
        canary.files(tmp_path, but=[tmp_path / Path(name).parts[0]])
    )


@pytest.mark.parametrize(
    "cell", [SECRET, SECRET.encode(), zlib.compress(SECRET.encode())]
)
def test_it_is_found_in_cells_of_sqlite(
    tmp_path: Path, cell: str | bytes
) -> None:
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute("CREATE TABLE event (body)")
        database.execute("INSERT INTO event VALUES (?)", [cell])
    database.close()
    assert found_in(canary.files(tmp_path))


def test_it_is_found_in_objects_of_a_cluster_but_not_in_secrets() -> None:
    job = {"kind": "Job", "metadata": {"name": "j"}, "spec": {"args": SECRET}}
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s"},
        "stringData": {"FILE_URL": SECRET},
    }
    assert found_in(canary.kubernetes([job]))
    assert not found_in(canary.kubernetes([secret]))
    annotated = {**secret, "metadata": {"annotations": {"a": SECRET}}}
    assert found_in(canary.kubernetes([annotated]))
