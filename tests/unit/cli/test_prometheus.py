"""``p2pchat stats --prometheus``: the text keeps the rules of the format, says all that there is, and names nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from p2pchat.api.stats_objects import Stats
from p2pchat.cli.prometheus import METRICS, exposition
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli

NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)")


def parsed(text: str) -> dict[str, tuple[str, dict[str, float]]]:
    """Type and samples of every family; AssertionError where the text is none of the format.

    A family is in one piece: HELP, TYPE, samples, each with its own labels.
    """
    assert text.endswith("\n")
    families: dict[str, tuple[str, dict[str, float]]] = {}
    helped = name = ""
    for line in text[:-1].split("\n"):
        if found := re.fullmatch(rf"# HELP ({NAME}) ((?:[^\\]|\\[\\n])+)", line):
            helped = found[1]
            assert helped not in families, line
        elif found := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge)", line):
            name = found[1]
            assert name == helped, line
            assert name not in families, line
            assert (found[2] == "counter") == name.endswith("_total"), line
            families[name] = (found[2], {})
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] == name == helped, line
            samples = families[name][1]
            assert (sample[2] or "") not in samples, line
            samples[sample[2] or ""] = float(sample[3])
    assert all(samples for _, samples in families.values())
    return families


@pytest.mark.parametrize(
    "text",
    [
        "a 1",
        "a 1\n",
        "# HELP a x\na 1\n",
        "# HELP a x\n# TYPE a gauge\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
        '# HELP a x\n# TYPE a gauge\na{b="\\q"} 1\n',
        "# HELP a-b x\n# TYPE a-b gauge\na-b 1\n",
        "# HELP a x\n# TYPE a gauge\na None\n",
        "# HELP a x\n# TYPE a gauge\nb 1\n",
    ],
)
def test_what_is_not_of_the_format_is_found(text: str) -> None:
    with pytest.raises(AssertionError):
        parsed(text)


def test_the_text_is_of_the_format_and_has_all_numbers(cli: Cli, node: Served) -> None:
    done = cli("stats", "--prometheus")
    assert done.status == 0
    families = parsed(done.out)
    assert all(name.startswith("p2pchat_") for name in families)
    assert families["p2pchat_uptime_seconds"] == ("gauge", {"": 3700})
    assert families["p2pchat_refusals_total"] == (
        "counter",
        {'kind="connection.crowded"': 0, 'kind="stream.excessive"': 12},
    )
    assert families["p2pchat_connections"][1] == {
        'direction="inbound"': 4,
        'direction="outbound"': 3,
        'direction="relayed"': 1,
    }
    assert families["p2pchat_streams"][1] == {'protocol="/p2pchat/msg/1"': 5}
    assert families["p2pchat_commit_duration_seconds"][1] == {
        'statistic="max"': 0.031,
        'statistic="p50"': 0.0004,
        'statistic="p99"': 0.0025,
    }
    assert len(families) == len(METRICS)
    assert cli("stats", "--prometheus").out == done.out


def test_every_field_of_the_numbers_has_a_family() -> None:
    assert [metric.field for metric in METRICS] == list(Stats.__struct_fields__)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_units_are_in_the_names() -> None:
    units = {"_s": "_seconds", "_ms": "_seconds", "_bytes": "_bytes"}
    for metric in METRICS:
        unit = next((unit for end, unit in units.items() if metric.field.endswith(end)), "")
        assert metric.name.removesuffix("_total").endswith(unit), metric.name


def test_what_a_system_does_not_tell_is_left_out(cli: Cli, node: Served) -> None:
    node.api.rss_bytes = None
    assert not any("resident_memory" in name for name in parsed(cli("stats", "--prometheus").out))


def test_whatever_stands_in_a_label_stays_in_it() -> None:
    odd: Mapping[str, object] = {"streams": {'a"} 1\n# TYPE b gauge\\': 1}}
    (family,) = parsed("".join(f"{line}\n" for line in exposition(odd))).values()
    assert family == ("gauge", {r'protocol="a\"} 1\n# TYPE b gauge\\"': 1})


def test_the_two_forms_exclude_each_other(cli: Cli, node: Served) -> None:
    assert cli("stats", "--prometheus", "--json").status == 2
    assert node.api.calls == []
