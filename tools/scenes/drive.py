"""A sequence: the camera drives, vehicles and people move, each keeps its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from cityscapesscripts.helpers.labels import labels

from scenes.camera import Camera
from scenes.painting import Item
from scenes.scene import Scene, World
from scenes.traffic import OUR_LANE, Actor

Velocity = tuple[float, float]
"""(x, z), meters a frame."""

_HALF_WIDTH = 1.3  # of our own car, meters
_DISTANCE = 3.5  # that it keeps to what is before it
_TOP_SPEED = 0.9
_NUMBERED = {label.name for label in labels if label.hasInstances}


def make_sequence(
    seed: int, split: str, index: int, height: int, width: int, frames: int
) -> Iterator[Scene]:
    """The frames of sequence `index` of a split, 8 a second; a longer one begins the same way.

    In annotations the `id` of an object with instances is its number among those of its class,
    the same in all frames.
    """
    world = World(seed, split, index, height, width, in_motion=True)
    own = world.random_for("own speed").choice((0.0, 0.35, 0.6, 0.75, _TOP_SPEED))
    velocities = _velocities(world.actors, own, world.random_for("motion"))
    places = _drive(world.actors, velocities, own)
    numbers = _numbers(world.actors)
    for t in range(frames):
        camera = world.camera.moved(0.0, next(places))
        views = [camera.moved(-t * vx, -t * vz) for vx, vz in velocities]
        items = [
            _numbered(actor.seen_from(view), own_numbers) if _is_ahead(actor, view) else []
            for actor, view, own_numbers in zip(world.actors, views, numbers, strict=True)
        ]
        yield world.render(camera, views, items, frame=t)


def _velocities(actors: Sequence[Actor], own: float, random: Random) -> list[Velocity]:
    convoys = {OUR_LANE: max(0.0, own + random.uniform(-0.1, 0.3))}
    velocities = []
    for actor in actors:
        if actor.course is None:
            velocities.append((0.0, 0.0))
            continue
        speed = random.uniform(*actor.course.pace)
        if actor.course.convoy is not None:
            speed = convoys.setdefault(actor.course.convoy, speed)
        x, z = actor.course.heading
        velocities.append((speed * x, speed * z))
    return velocities


def _drive(
    actors: Sequence[Actor], velocities: Sequence[Velocity], speed: float
) -> Iterator[float]:
    """Where our car is in each frame, meters; it brakes for what is in its way."""
    z, t = 0.0, 0
    while True:
        yield z
        t += 1
        room = min(
            (
                actor.footprint.z0 + t * vz - z - _DISTANCE
                for actor, (vx, vz) in zip(actors, velocities, strict=True)
                if _is_in_our_way(actor, t * vx) and actor.footprint.z0 + t * vz > z
            ),
            default=speed,
        )
        z += max(0.0, min(speed, room / 4))


def _is_in_our_way(actor: Actor, dx: float) -> bool:
    footprint = actor.footprint
    return footprint.x0 + dx < _HALF_WIDTH and footprint.x1 + dx > -_HALF_WIDTH


def _is_ahead(actor: Actor, view: Camera) -> bool:
    """Whether enough of it lies before the camera to be seen."""
    return actor.footprint.z1 - view.z > 1.0


def _numbers(actors: Sequence[Actor]) -> list[dict[str, int]]:
    """For each actor the numbers of its items with instances, by label."""
    count: Counter[str] = Counter()
    numbers = []
    for actor in actors:
        own = [item.label for item in actor.items if item.label in _NUMBERED]
        numbers.append({label: count[label] for label in own})
        count.update(own)
    return numbers


def _numbered(items: Sequence[Item], numbers: dict[str, int]) -> list[Item]:
    return [replace(item, number=numbers.get(item.label)) for item in items]
