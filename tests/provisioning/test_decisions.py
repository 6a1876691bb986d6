"""What is decided from memory is what would be decided anew."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from config.offers import Offering
from config.plant import Line, Node
from provisioning.decisions import decide_all, decision
from provisioning.inventory import Inventory
from provisioning.qualification import Place, standing

OFFERINGS = [
    {"name": "small", "isp": "aurora", "down_kbps": 50_000, "up_kbps": 10_000},
    {
        "name": "fast",
        "isp": "aurora",
        "down_kbps": 900_000,
        "up_kbps": 100_000,
        "technologies": ["fttp"],
    },
    {
        "name": "wide",
        "isp": "aurora",
        "down_kbps": 200_000,
        "up_kbps": 50_000,
        "addresses": 4,
    },
]
SPEEDS = st.sampled_from([None, 40_000, 300_000, 1_000_000])


@st.composite
def _place(draw: st.DrawFn) -> Place:
    area = draw(st.sampled_from(["harbour", "hills"]))
    node = Node(
        name=draw(st.sampled_from(["one", "two"])),
        area=area,
        ports=draw(st.sampled_from([0, 100])),
        technology=draw(st.sampled_from(["fttp", "vdsl2"])),
        down_kbps=draw(SPEEDS) or 1_000_000,
    )
    state = draw(st.sampled_from(["in_service", "planned", "faulty", "retired"]))
    line = Line(name="l", area=area, state=state, down_kbps=draw(SPEEDS))
    return Place(
        area,
        "site",
        draw(st.sampled_from([None, line])),
        draw(st.sampled_from([None, node])),
    )


@st.composite
def _network(draw: st.DrawFn) -> Inventory:
    inventory = Inventory()
    objects: list[tuple[str, dict[str, Any]]] = [
        ("isp", {"name": "aurora", "contracts": ["harbour"]}),
        *(("offering", one) for one in OFFERINGS),
    ]
    prefix = draw(st.sampled_from([None, "100.64.0.0/29", "100.64.0.0/20"]))
    if prefix is not None:
        for area in ("harbour", "hills"):
            pool = {"name": area, "area": area, "isp": "aurora", "prefixes": [prefix]}
            objects.append(("pool", pool))
    if draw(st.booleans()):
        reserve = {"name": "r", "area": "harbour", "prefixes": ["100.127.0.0/24"]}
        objects.append(("reserve", reserve))
    for kind, body in objects:
        inventory.put(kind, body["name"], body)
    return inventory


@settings(max_examples=60)
@given(
    _network(),
    st.lists(
        st.tuples(
            _place(),
            st.sampled_from([(), ("small",), ("fast", "wide"), ("nothing",)]),
            st.booleans(),
            st.integers(0, 8),
            st.booleans(),
        ),
        min_size=1,
        max_size=60,
    ),
)
def test_memory_changes_no_answer(
    inventory: Inventory,
    asked: list[tuple[Place, tuple[str, ...], bool, int, bool]],
) -> None:
    """Whatever was asked before, and also when the network changes in between."""
    for place, names, alternatives, held, changes in asked:
        if changes:
            speed = 300_000 + held
            inventory.put("offering", "small", OFFERINGS[0] | {"down_kbps": speed})
        so = standing(inventory, place, "aurora", lambda _, held=held: held)  # type: ignore[misc]
        slow = decide_all(place, so, names, alternatives=alternatives)
        args = (inventory, "aurora", place, so, names)

        assert slow == decision(*args, alternatives=alternatives)


def test_an_offering_that_is_gone_is_not_remembered() -> None:
    """Memory is of the network as it is."""
    inventory = Inventory()
    inventory.put("isp", "aurora", {"name": "aurora"})
    for one in OFFERINGS:
        inventory.put("offering", str(one["name"]), one)
    place = Place("harbour", "site", None, Node(name="one", area="harbour", ports=9))

    def told() -> list[str]:
        so = standing(inventory, place, "aurora", lambda _: 0)
        made = decision(inventory, "aurora", place, so, (), alternatives=True)
        return [one.offering for one in made.answers]

    before = told()
    inventory.put("offering", "wide", None)

    assert ["fast", "small", "wide"] == before
    assert ["fast", "small"] == told()
    assert isinstance(inventory.offering["small"], Offering)
