"""Who is in the street, and where."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from scenes import furniture
from scenes.camera import Camera, WorldPoint
from scenes.order import Footprint
from scenes.painting import Face, Item
from scenes.people import Figure, pedestrian, two_wheeler
from scenes.street import CROSS_WIDTH, LANE, Layout, Side
from scenes.vehicles import Pose, Vehicle, shadow_of
from scenes.weather import Weather

AWAY, TOWARDS = 0.0, math.pi
NEAREST = 4.0
"""Nothing stands nearer than this, in meters."""
OUR_LANE = "ours"
"""The convoy that we are part of."""

# Lowest and highest speeds, meters a frame at 8 frames a second.
_DRIVE, _ROLL, _RIDE, _WALK, _STROLL = (0.4, 1.2), (0.0, 0.8), (0.3, 0.7), (0.1, 0.22), (0.0, 0.2)


Builder = Callable[..., list[Item]]
"""What a camera sees of something, called with `camera` and `random`."""


@dataclass(frozen=True)
class Course:
    """How something moves in a sequence.

    Attributes:
        heading: (x, z), of length 1.
        pace: lowest and highest speed, meters a frame.
        convoy: those of one name have one speed, as cars in a lane; None: a speed of its own.
    """

    heading: tuple[float, float]
    pace: tuple[float, float]
    convoy: str | None = None


@dataclass(frozen=True)
class Actor:
    """Something on its own ground.

    Attributes:
        footprint: where it stands when a sequence begins.
        items: what is painted then, in order.
        shadow: its shadow's corners on the ground, meters.
        course: how it moves, None if it stands.
        build, state: what makes the items, and the state of the random draws that it begins with.
    """

    footprint: Footprint
    items: Sequence[Item]
    shadow: Sequence[WorldPoint]
    course: Course | None
    build: Builder
    state: tuple[Any, ...]

    def seen_from(self, camera: Camera) -> list[Item]:
        """The same items from another place."""
        random = Random()
        random.setstate(self.state)
        return self.build(camera, random=random)


@dataclass
class Traffic:
    """A street that is filled step by step; what would stand in something else is left out."""

    layout: Layout
    camera: Camera
    weather: Weather
    random: Random
    actors: list[Actor] = field(default_factory=list)

    def fill(self) -> None:
        """All of a scene's traffic; what must not be crowded out comes first."""
        for add in (
            self._tram, self._crossing, self._lanes, self._stops, self._riders,
            self._crossing_people, self._parked, self._cycles, self._signals, self._signs,
            self._lamps, self._people, self._small_things, self._trees, self._far_groups,
        ):  # fmt: skip
            add()

    def expect(self) -> None:
        """Those who come later in a sequence: out of the distance, and from the sides."""
        for add in (self._far_lanes, self._from_the_sides):
            add()

    # Placing

    def _free(self, footprint: Footprint, gap: float) -> bool:
        return footprint.z0 >= NEAREST and not any(
            footprint.overlaps(actor.footprint, gap) for actor in self.actors
        )

    def _add(
        self,
        footprint: Footprint,
        build: Builder,
        gap: float,
        height: float,
        course: Course | None = None,
    ) -> bool:
        if not self._free(footprint, gap):
            return False
        x0, x1, z0, z1 = footprint.x0, footprint.x1, footprint.z0, footprint.z1
        corners = ((x0, 0.0, z0), (x1, 0.0, z0), (x1, 0.0, z1), (x0, 0.0, z1))
        shadow = shadow_of(corners, height, self.weather)
        state = self.random.getstate()
        items = build(self.camera, random=self.random)
        self.actors.append(Actor(footprint, items, shadow, course, build, state))
        return True

    def _vehicle(
        self,
        kind: str,
        x: float,
        z: float,
        yaw: float,
        gap: float = 0.5,
        pace: tuple[float, float] | None = None,
        convoy: str | None = None,
    ) -> None:
        vehicle = Vehicle.random(kind, Pose(x, z, yaw), self.random)
        heading = vehicle.pose.forward
        self._add_vehicle(vehicle, gap, None if pace is None else Course(heading, pace, convoy))

    def _add_vehicle(self, vehicle: Vehicle, gap: float, course: Course | None = None) -> bool:
        build = partial(vehicle.items, weather=self.weather)
        return self._add(Footprint.of(vehicle.corners()), build, gap, 1.6, course)

    def _figure(
        self,
        figure: Figure,
        gap: float = 0.15,
        half_depth: float = 0.25,
        course: Course | None = None,
    ) -> bool:
        stance = figure.stance
        footprint = Footprint.around(stance.x, stance.z, figure.half_width, half_depth)
        build = partial(figure.items, weather=self.weather)
        return self._add(footprint, build, gap, 0.8, course)

    def _depth(self, near: float, far: float) -> float:
        """A distance, near ones more often: even in the image rather than on the ground."""
        return 1 / self.random.uniform(1 / far, 1 / near)

    # Vehicles

    def _tram(self) -> None:
        if self.layout.track is None or self.random.random() > 0.93:
            return
        yaw = TOWARDS if self.layout.track < 0 else AWAY
        self._vehicle("train", self.layout.track, self._depth(9, 38) + 12, yaw, pace=_ROLL)

    def _crossing(self) -> None:
        if self.layout.junction is None or self.random.random() > 0.5:
            return
        kind = self.random.choices(("car", "truck", "bus"), (3, 2, 2))[0]
        yaw, z = self.random.choice(((math.pi / 2, 2.6), (-math.pi / 2, 6.2)))
        x = self.random.uniform(-8, 6)
        self._vehicle(kind, x, self.layout.junction + z, yaw, pace=_DRIVE)

    def _lanes(self) -> None:
        """Cars, trucks and buses ahead of us and coming toward us."""
        random = self.random
        for x, yaw, count, convoy in ((0.0, AWAY, 2, OUR_LANE), (-LANE, TOWARDS, 3, "oncoming")):
            for _ in range(count):
                kind = random.choices(("car", "truck", "bus"), (5, 3, 3))[0]
                z = self._depth(9, 60) + (0 if kind == "car" else 5)
                aside = random.uniform(-0.3, 0.3)
                self._vehicle(kind, x + aside, z, yaw, gap=2.0, pace=_DRIVE, convoy=convoy)

    def _far_lanes(self) -> None:
        random = self.random
        for x, yaw, convoy in ((0.0, AWAY, OUR_LANE), (-LANE, TOWARDS, "oncoming")):
            for z in (random.uniform(66, 78), random.uniform(90, 110)):
                aside = random.uniform(-0.3, 0.3)
                self._vehicle("car", x + aside, z, yaw, gap=2.0, pace=_DRIVE, convoy=convoy)

    def _from_the_sides(self) -> None:
        """On the street that crosses, and on the walkway before it."""
        random, junction = self.random, self.layout.junction
        if junction is None:
            return
        for sign, lane in ((1, 2.6), (-1, 6.2)):
            x, kind = -sign * random.uniform(16, 30), random.choice(("car", "car", "bus", "truck"))
            self._vehicle(kind, x, junction + lane, sign * math.pi / 2, pace=_DRIVE)
            away, z = random.uniform(8, 16), junction + CROSS_WIDTH / 2 - sign * 3.6
            rider = two_wheeler("bicycle", 0.0, z, random, ridden=True, crossing=True)
            self._figure(rider.coming_from(away), 0.3, 0.6, _across(rider, _RIDE))
            walker = pedestrian(0.0, junction - 2.0, random)
            away = self.layout.sides[0].walk + random.uniform(-1, 2)
            self._figure(walker.coming_from(away), course=_across(walker, _WALK))

    def _stops(self) -> None:
        """A bus, truck or something rarer that stands at the curb."""
        for side in self.layout.sides:
            if side.parking and self.random.random() < 0.6:
                kinds = ("truck", "bus", "caravan", "trailer")
                kind = self.random.choices(kinds, (5, 5, 1, 1))[0]
                x = side.sign * (side.curb - 1.32)
                self._vehicle(kind, x, self._depth(8, 32) + 5, self._along(side))

    def _parked(self) -> None:
        """Rows of cars, bumper to bumper, neighbors in different colors."""
        for side in self.layout.sides:
            if not side.parking:
                continue
            z, color, gap = self.random.uniform(4.5, 9), None, self.layout.junction
            while z < 46:
                x = side.sign * (side.curb - 1.12) + self.random.uniform(-0.1, 0.1)
                yaw = self._along(side) + self.random.uniform(-0.03, 0.03)
                vehicle = Vehicle.random("car", Pose(x, z + 2.3, yaw), self.random, avoid=color)
                color = vehicle.materials["body"]
                crossing = gap is not None and gap - 8 < z < gap + CROSS_WIDTH + 4
                if not crossing and self.random.random() < 0.9:
                    self._add_vehicle(vehicle, 0.3)
                z += vehicle.shape.length + self.random.uniform(0.6, 1.3)

    def _along(self, side: Side) -> float:
        """The way one parks on a side."""
        return AWAY if side.sign > 0 else TOWARDS

    def _far_groups(self) -> None:
        """Far cars that nobody tells apart, and crowds."""
        random = self.random
        for side in self.layout.sides:
            if random.random() < 0.4:
                self._car_group(side.sign * (side.curb - 1.1), random.uniform(50, 62))
            if random.random() < 0.3:
                self._crowd(side, random.uniform(14, 38))

    def _car_group(self, x: float, z: float) -> None:
        poses = [Pose(x, z + 5.2 * i, AWAY) for i in reversed(range(self.random.randint(3, 5)))]
        vehicles = [Vehicle.random("car", pose, self.random) for pose in poses]
        footprint = Footprint.of([corner for vehicle in vehicles for corner in vehicle.corners()])

        def build(camera: Camera, random: Random) -> list[Item]:
            faces: list[Face] = []
            for vehicle in vehicles:
                faces += vehicle.items(camera, self.weather, random)[0].faces
            return [Item("cargroup", faces)]

        self._add(footprint, build, 0.3, 1.6)

    def _crowd(self, side: Side, z: float) -> None:
        middle = side.sign * (side.curb + side.walk) / 2
        places = [middle + 0.42 * (i - 2) for i in range(self.random.randint(4, 6))]
        figures = [
            pedestrian(x, z + 0.3 * self.random.random(), self.random, "persongroup")
            for x in places
        ]
        self._group("persongroup", figures, z)

    def _group(self, label: str, figures: Sequence[Figure], z: float) -> None:
        """Several figures as one item, where nothing else stands."""
        footprint = Footprint(
            min(figure.stance.x - figure.half_width for figure in figures),
            max(figure.stance.x + figure.half_width for figure in figures),
            z - 0.3,
            z + 0.6,
        )

        def build(camera: Camera, random: Random) -> list[Item]:
            faces: list[Face] = []
            for figure in figures:
                faces += figure.items(camera, self.weather, random)[0].faces
            return [Item(label, faces)]

        self._add(footprint, build, 0.2, 0.8)

    # People and two-wheelers

    def _riders(self) -> None:
        random, layout = self.random, self.layout
        for _ in range(random.randint(1, 3)):
            kind = random.choice(("bicycle", "bicycle", "motorcycle"))
            crossing = layout.junction is not None and random.random() < 0.3
            if crossing:
                x, z = random.uniform(-6, 5), layout.junction + random.uniform(1, CROSS_WIDTH - 1)
            else:
                inner = random.choice((-LANE * 1.5 + 0.4, LANE / 2 - 0.3, -LANE / 2))
                x, z = inner + random.uniform(-0.2, 0.2), self._depth(6.5, 26)
            rider = two_wheeler(kind, x, z, random, ridden=True, crossing=crossing)
            along = AWAY if x > -LANE else TOWARDS
            straight = Course((0.0, math.cos(along)), _RIDE)
            self._figure(rider, 0.3, 0.6, _across(rider, _RIDE) if crossing else straight)

    def _crossing_people(self) -> None:
        if self.layout.junction is None:
            return
        for _ in range(self.random.randint(0, 4)):
            x = self.random.uniform(-self.layout.left.curb, self.layout.right.curb)
            z = self.layout.junction - self.random.uniform(1.0, 3.2)
            walker = pedestrian(x, z, self.random)
            self._figure(walker, course=_across(walker, _WALK))

    def _people(self) -> None:
        """Single walkers, and groups that stand shoulder to shoulder."""
        random = self.random
        for side in self.layout.sides:
            for _ in range(random.randint(1, 6)):
                walker = pedestrian(self._on_walk(side), self._depth(6, 42), random)
                self._figure(walker, course=Course((0.0, walker.stance.facing), _STROLL))
            if random.random() < 0.5:
                x, z = self._on_walk(side), self._depth(8, 26)
                for i in range(random.randint(2, 4)):
                    place = x + side.sign * 0.5 * i
                    self._figure(
                        pedestrian(place, z + random.uniform(-0.2, 0.2), random), gap=-0.12
                    )

    def _on_walk(self, side: Side) -> float:
        return side.sign * self.random.uniform(side.curb + 0.6, side.walk - 0.3)

    def _cycles(self) -> None:
        """Parked bicycles and motorcycles, alone or in a rack."""
        random = self.random
        for side in self.layout.sides:
            for kind, probability in (("bicycle", 0.65), ("motorcycle", 0.5)):
                if random.random() < probability:
                    x, z = side.sign * (side.curb + 0.8), self._depth(6.5, 22)
                    cycle = two_wheeler(kind, x, z, random, ridden=False, crossing=True)
                    self._figure(cycle)
            if random.random() < 0.2:
                x, z = self._on_walk(side), random.uniform(9, 22)
                rack = [
                    two_wheeler("bicycle", x + 0.4 * i, z, random, ridden=False, crossing=True)
                    for i in range(random.randint(3, 5))
                ]
                self._group("bicyclegroup", rack, z)

    # Furniture

    def _post(self, x: float, z: float, items: Builder, half: float = 0.15) -> bool:
        return self._add(Footprint.around(x, z, half, 0.15), items, 0.1, 0.5)

    def _signals(self) -> None:
        """Traffic lights at a crossing, else now and then at the road's side."""
        if self.layout.junction is None and self.random.random() < 0.6:
            return
        z = (self.layout.junction or self.random.uniform(14, 26)) - 4.3
        on = self.random.choice(("red", "amber", "green"))
        for side in self.layout.sides:
            x = side.sign * (side.curb + 0.35)
            self._post(x, z, partial(furniture.traffic_light, x, z, on, weather=self.weather))

    def _signs(self) -> None:
        for side in self.layout.sides:
            for _ in range(self.random.randint(1, 2)):
                x, z = side.sign * (side.curb + 0.45), self._depth(7, 30)
                self._post(x, z, partial(furniture.traffic_sign, x, z, weather=self.weather))

    def _lamps(self) -> None:
        for side in self.layout.sides:
            z = self.random.uniform(7, 16)
            while z < 70:
                x = side.sign * (side.curb + 0.5)
                self._post(x, z, partial(furniture.street_lamp, x, z, weather=self.weather))
                z += self.random.uniform(15, 22)

    def _small_things(self) -> None:
        for label, probability in (("static", 0.6), ("dynamic", 0.4)):
            for side in self.layout.sides:
                if self.random.random() < probability:
                    thing = label, self._on_walk(side), self._depth(9, 26)
                    build = partial(furniture.small_thing, *thing, weather=self.weather)
                    self._add(Footprint.around(*thing[1:], 0.7, 0.3), build, 0.1, 0.5)

    def _trees(self) -> None:
        for side in self.layout.sides:
            if side.front - side.walk < 1 or self.random.random() < 0.3:
                continue
            z = self.random.uniform(11, 18)
            while z < 75:
                x = side.sign * (side.walk + 0.5)
                self._post(x, z, partial(furniture.tree, x, z, weather=self.weather), half=0.3)
                z += self.random.uniform(7, 14)


def _across(figure: Figure, pace: tuple[float, float]) -> Course:
    """The course of a figure that crosses the street to where it looks."""
    return Course((figure.stance.facing, 0.0), pace)
