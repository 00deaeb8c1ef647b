# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a target printed to a task's result. What a guest prints is hostile.

A result is not only data to Ansible: some keys add hosts, set connection variables or count as a failure, a string
may reach the operator's terminal, and ``{"__ansible_type": ...}`` becomes a template that is trusted when facts come
back from a cache. So only keys that a module is known to return pass, of the right type, and strings without control
characters.
"""

from __future__ import annotations

import json
import math
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from .failure import Failure
from .target_script import BEGIN, END
from .text import printable

LIMIT = 16 * 1024 * 1024  # characters; the largest result there is, facts of 65536 queues, is below it
_DEPTH = 32
_FACT = "ansible_secure_execution"
_SIGNALS = {int(number): number.name for number in signal.Signals}

# What stands behind the mark in an answer, and at the end of a module's output.
_ANSWER = re.compile(r" (\w+)(?: ([^\r\n]{0,100}))?")
_END = re.compile(rf" {END} (\d{{1,3}})", re.ASCII)


def answer(stdout: str, mark: str) -> tuple[str, str]:
    """The target's first answer: its word, and the rest of the line. Two empty strings if there is none."""
    found = (_ANSWER.fullmatch(text) for _begin, _end, text in _marked(stdout, mark))
    first = next(filter(None, found), None)
    return (first[1], printable(first[2] or "")) if first else ("", "")


def _marked(stdout: str, mark: str) -> Iterator[tuple[int, int, str]]:
    """Each line that begins with the mark: where it begins and ends, and what it says behind the mark."""
    # The mark is new for each task: a pattern with it in would be compiled for each host and task, which takes longer.
    at = stdout.find(mark)
    while at >= 0:
        end = stdout.find("\n", at)
        end = len(stdout) if end < 0 else end
        if at == 0 or stdout[at - 1] == "\n":
            yield at, end, stdout[at + len(mark) : end].removesuffix("\r")
        at = stdout.find(mark, end)


def module_result(stdout: str, stderr: str, mark: str, module: str, keys: Iterable[str]) -> dict[str, Any]:
    """The result of a module that ran.

    :param keys: what this module may return beside the common results
    :raises Failure: module.no_result, if there is no well-formed result
    """
    lines = list(_marked(stdout, mark))
    begin = next((end + 1 for _begin, end, text in lines if text == f" {BEGIN}"), len(stdout))
    ends = [(at, ended) for at, _end, text in lines if at >= begin and (ended := _END.fullmatch(text))]
    if not ends:
        _no_result(module, "the connection or the shell on the target ended too early", stdout, stderr)
    body, status = stdout[begin : ends[-1][0]].strip(), int(ends[-1][1][1])
    if len(body) > LIMIT:
        _no_result(module, f"it printed {len(body)} characters, more than {LIMIT} are allowed", "", stderr)
    if status > 128 and status - 128 in _SIGNALS:
        _no_result(module, f"it was ended by signal {status - 128} ({_SIGNALS[status - 128]})", body, stderr)
    if status not in (0, 1):
        _no_result(module, f"it ended with exit status {status}", body, stderr)
    if not body:
        _no_result(module, "it printed nothing", "", stderr)
    try:
        printed = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
        result = _allowed(printed, keys)
    except RecursionError:
        _no_result(module, "its result is nested too deeply", body, stderr)
    except ValueError as fault:
        _no_result(module, f"its result is not as expected: {fault}", body, stderr)
    if status == 1:
        result["failed"] = True
    return result


def _allowed(printed: Any, keys: Iterable[str]) -> dict[str, Any]:
    if not isinstance(printed, dict):
        raise ValueError("it is not a JSON object")
    if "changed" not in printed and not printed.get("failed"):
        raise ValueError("`changed` is missing")
    result = {}
    allowed = {*_COMMON, *keys}
    for key, printed_value in printed.items():
        if key not in allowed:
            continue
        value = _clean(printed_value)
        if key in _COMMON and not _COMMON[key](value):
            raise ValueError(f"`{key}` is of the wrong type")
        result[key] = value
    if "ansible_facts" in result:
        facts = result["ansible_facts"]
        result["ansible_facts"] = {_FACT: facts[_FACT]} if isinstance(facts, dict) and _FACT in facts else {}
    return result


def _is_diff(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, dict) and _is_diff(one) for one in value)
    texts = {"before", "after", "before_header", "after_header"}
    return isinstance(value, dict) and value.keys() <= texts and all(isinstance(text, str) for text in value.values())


_COMMON: Mapping[str, Callable[[Any], bool]] = {
    "changed": lambda value: isinstance(value, bool),
    "failed": lambda value: isinstance(value, bool),
    "msg": lambda value: isinstance(value, str),
    "warnings": lambda value: isinstance(value, list) and all(isinstance(line, str) for line in value),
    "diff": _is_diff,
    "error": lambda value: isinstance(value, dict),
    "invocation": lambda value: isinstance(value, dict) and value.keys() == {"module_args"},
    "predicted": lambda value: isinstance(value, str),
}


def _clean(value: Any, depth: int = 0) -> Any:
    """The value without what is more than data to Ansible, at any depth."""
    if depth > _DEPTH:
        raise ValueError(f"it is nested more than {_DEPTH} deep")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            printable(key): _clean(item, depth + 1)
            for key, item in value.items()
            if not key.startswith(("_ansible_", "__ansible_"))
        }
    return value


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_result(module: str, reason: str, stdout: str, stderr: str) -> NoReturn:
    printed = " ".join(
        f"It printed on {name}: {_excerpt(text)}"
        for name, text in (("standard output", stdout), ("standard error", stderr))
        if text.strip()
    )
    raise Failure(
        "module.no_result",
        f"{module} on the target gave no result: {reason}. {printed}".strip(),
        "Whether it changed anything is not known; run the task again with --check --diff to see what is left to do. "
        "If it happens again, run the task with -vvvv, or the binary by hand on the target: echo '{}' | BINARY -",
    )


def _excerpt(text: str) -> str:
    # repr() writes out whatever a terminal might obey.
    text = text.strip()
    return repr(text if len(text) <= 200 else text[:200] + "...")
