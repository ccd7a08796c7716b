"""The painting of one face, point by point: skin, hair and lips on a surface that is then lit.

Lengths are in units of half of an average head's width, from the point between the eyes; y points down.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Colour = Sequence[float]


class Portrait:
    """A rectangle painted from the back to the front: the colours of its points, and the light on them."""

    def __init__(self, colour: Array, x: Array, y: Array, scale: float, brightness: float) -> None:
        """``x`` and ``y``: where each point of ``colour`` lies, in units; ``scale``: pixels a unit."""
        self.colour, self.x, self.y = colour, x, y
        self.pixel, self.brightness = 1 / scale, brightness
        self.light: Array = np.ones(x.shape, np.float32)

    def inside(self, distance: Array, blur: float = 0.0) -> Array:
        """How much of each point lies where ``distance`` (in units) is below 0: 0 to 1, soft over ``blur`` units."""
        return np.clip(0.5 - distance / (blur + self.pixel), 0, 1)

    def oval(self, x: float, y: float, a: float, b: float, blur: float = 0.0) -> Array:
        """The inside of an ellipse around (x, y)."""
        return self.inside((np.hypot((self.x - x) / a, (self.y - y) / b) - 1) * min(a, b), blur)

    def paint(self, mask: Array, colour: Colour, light: Array | float | None = None) -> None:
        """Cover by ``mask``; with ``light``, that shines there from now on."""
        shining = self.light if light is None else np.clip(np.float32(light) * self.brightness, 0, 1.6)
        self.light += mask * (shining - self.light)
        self.colour += mask[..., None] * (np.float32(colour) * shining[..., None] - self.colour)

    def add(self, who: SimpleNamespace, how: SimpleNamespace, shirt: Colour) -> None:
        """Everything, from the back to the front."""
        x, y = self.x, self.y
        self._hair_behind(who)
        self.paint(self.inside(np.maximum(np.abs(x) - 0.62 * who.width, -y)), who.skin, 0.62)
        shoulders = who.chin + 0.34 + 0.2 * np.abs(x) ** 2.2
        self.paint(self.inside(shoulders - y), shirt, 0.75 + 0.1 * np.sin(2 * x + how.light))
        for side in (-1, 1):
            self.paint(self.oval(side * who.width, 0.2, 0.13, 0.28), who.skin, 0.72 + 0.2 * side * how.light)
        # A turned head: what lies nearer moves further.
        skull = np.hypot(x / who.width, y / who.chin)
        self.x = x + how.yaw * np.clip(1 - skull**2, 0, 1)
        head = self._head(who)
        self.paint(head, who.skin, self._lit(who, how))
        self._beard(who, head)
        self._mouth(who, how)
        self._nose(who)
        for side in (-1, 1):
            self._eye(who, how, side)
        self._fringe(who, head)
        self.x = x

    def _rim(self, who: SimpleNamespace) -> Array:
        """1 on the outline of the head, 0 at its middle."""
        high = np.where(self.y < 0, np.float32(1.3), np.float32(who.chin))
        power = np.where(self.y < 0, np.float32(2.2), np.float32(who.jaw))
        rim: Array = (np.abs(self.x) / who.width) ** 2.2 + (np.abs(self.y) / high) ** power
        return rim

    def _head(self, who: SimpleNamespace) -> Array:
        return self.inside((np.sqrt(self._rim(who)) - 1) * 0.8)

    def _lit(self, who: SimpleNamespace, how: SimpleNamespace) -> Array:
        """The light on the face: a surface with sockets, nose, cheeks, lips and chin under a lamp."""
        x, y = np.abs(self.x), self.y
        z = 0.9 * np.sqrt(np.clip(1.02 - 0.97 * self._rim(who), 0.01, None))
        mouth = who.nose_length + who.lip_gap
        z -= 0.13 * _hill(x - who.eye_apart, y, 0.24, 0.15)
        z += 0.05 * _hill(x - who.eye_apart, y + who.brow_height, 0.3, 0.1)
        z += (0.04 + who.cheeks) * _hill(x - 0.55, y - 0.42, 0.25, 0.25)
        wide = 0.07 + np.clip(y / who.nose_length, 0, 1) * (who.nose_width - 0.1)
        along = np.clip((y + 0.15) / (who.nose_length + 0.15), 0, 1) * self.inside(y - who.nose_length - 0.02, 0.16)
        z += 0.3 * along * np.exp(-((x / wide) ** 2))
        z += 0.08 * _hill(x - who.nose_width * 0.75, y - who.nose_length + 0.03, 0.07, 0.07)
        z += 0.06 * _hill(x, y - mouth, 0.3, 0.13) + 0.07 * _hill(x, y - who.chin + 0.2, 0.2, 0.13)
        down, right = np.gradient(z, self.pixel)
        toward = np.float32([np.sin(how.light), -how.light_high, 1.0])
        toward /= np.linalg.norm(toward)
        facing = (toward[2] - right * toward[0] - down * toward[1]) / np.sqrt(1 + right**2 + down**2)
        shadow = 0.25 * _hill(x - who.eye_apart * 0.93, y + 0.04, 0.22, 0.14)
        shadow += 0.3 * _hill(x, y - who.nose_length - 0.08, who.nose_width, 0.05)
        shadow += 0.2 * _hill(x, y - mouth - 0.15, 0.2, 0.05)
        lit: Array = (0.42 + 0.68 * np.clip(facing, 0, 1)) * (1 - shadow)
        return lit

    def _crown(self, who: SimpleNamespace) -> Array:
        return self.oval(0, -0.2, _hair_width(who), 1.12 + who.hair_high)

    def _hair_behind(self, who: SimpleNamespace) -> None:
        wide = _hair_width(who)
        sides = self.inside(np.maximum(np.abs(self.x) - wide - 0.04 * np.sin(5 * self.y), self.y - who.hair_down), 0.05)
        crown = self._crown(who) * self.inside(self.y - 0.3)
        self.paint(np.maximum(crown, sides * self.inside(-0.2 - self.y)), who.hair, 0.75)

    def _fringe(self, who: SimpleNamespace, head: Array) -> None:
        x = self.x
        line = who.hairline + who.parting * x * (1 - np.abs(x)) + 0.9 * np.abs(x / who.width) ** 5
        above = self.inside(self.y - line, 0.06) * np.maximum(head, self._crown(who))
        strands = 0.07 * np.sin(43 * x + 7 * self.y) + 0.05 * np.sin(71 * x - 5 * self.y)
        self.paint(above, who.hair, 0.95 + strands + 0.25 * _hill(x - 0.2, self.y + 1.0, 0.5, 0.25))

    def _beard(self, who: SimpleNamespace, head: Array) -> None:
        x, mouth = np.abs(self.x), who.nose_length + who.lip_gap
        low = self.inside(mouth - 0.1 + 0.35 * (1 - (x / 0.6) ** 2).clip(-1, 1) - self.y - 0.25, 0.15)
        low *= 1 - self.oval(0, mouth, who.mouth_width, 0.14, 0.05)
        self.paint(who.beard * low * head, who.hair)
        self.paint(who.moustache * self.oval(0, mouth - 0.15, who.mouth_width, 0.075, 0.04), who.hair)

    def _mouth(self, who: SimpleNamespace, how: SimpleNamespace) -> None:
        across = self.x / who.mouth_width
        y = self.y - who.nose_length - who.lip_gap + how.smile * (across**2 - 0.3)
        full = np.sqrt(np.clip(1 - across**2, 0, 1))
        bow = 1 - 0.35 * np.exp(-((across / 0.18) ** 2))
        gap = max(how.open, 0.0) * full
        red = np.float32(who.skin) * (0.78, 0.52, 0.52)
        edge = np.abs(across) - 1
        self.paint(self.inside(np.maximum(np.maximum(-y - gap - who.lips * full * bow, y), edge), 0.02), red * 0.92)
        self.paint(self.inside(np.maximum(np.maximum(y - gap - 1.3 * who.lips * full, -y), edge), 0.02), red * 1.06)
        self.paint(0.85 * self.inside(np.maximum(np.abs(y) - gap - 0.013, edge), 0.01), (70, 30, 30))

    def _nose(self, who: SimpleNamespace) -> None:
        for side in (-1, 1):
            hole = self.oval(side * who.nose_width * 0.45, who.nose_length, who.nose_width * 0.24, 0.035, 0.03)
            self.paint(0.75 * hole, np.float32(who.skin) * 0.28)

    def _eye(self, who: SimpleNamespace, how: SimpleNamespace, side: int) -> None:
        x = side * (self.x - side * who.eye_apart)  # from the nose outwards
        y = self.y + who.eye_tilt * x
        t = np.clip(np.abs(x / who.eye_width), 0, 1)
        upper, lower = who.eye_open * (1 - t**2.2), 0.65 * who.eye_open * (1 - t**2)
        opening = self.inside(np.maximum(np.maximum(-y - upper, y - lower), np.abs(x) - who.eye_width))
        self.paint(opening, (232, 230, 226), 0.86)
        radius = np.hypot(self.x - side * who.eye_apart - how.gaze, y + 0.012)
        self.paint(opening * self.inside(radius - 0.092), who.iris, 0.8)
        self.paint(opening * self.inside(radius - 0.042), (12, 10, 10))
        self.paint(opening * self.inside(np.hypot(self.x - side * who.eye_apart - 0.03, y + 0.045) - 0.018), (250,) * 3)
        lid = np.maximum(np.abs(y + upper + 0.008) - 0.02, np.abs(x) - who.eye_width - 0.015)
        self.paint(0.85 * self.inside(lid, 0.015), (34, 24, 22))
        crease = np.maximum(np.abs(y + 1.1 * upper + 0.065) - 0.006, np.abs(x) - who.eye_width)
        self.paint(0.35 * self.inside(crease, 0.02), np.float32(who.skin) * 0.4)
        t = x / 0.27
        middle = self.y + who.brow_height + who.brow_arch * (1 - t**2) + who.brow_tilt * t
        brow = np.maximum(np.abs(middle) - who.brow_thick * (1 - 0.4 * t), np.abs(x) - 0.27)
        self.paint(0.85 * self.inside(brow, 0.03), np.float32(who.hair) * 0.75)
        if who.glasses:
            ring = np.abs(np.hypot(x / 0.3, (self.y - 0.03) / 0.24) - 1) * 0.25 - 0.015
            self.paint(self.inside(ring), (40, 34, 34), 0.9)
            bridge = np.maximum(np.abs(self.y + 0.02) - 0.015, np.maximum(x + 0.28, -x - who.eye_apart))
            self.paint(self.inside(bridge), (40, 34, 34), 0.9)


def _hair_width(who: SimpleNamespace) -> float:
    width: float = who.width + 0.08 + 0.4 * who.hair_high
    return width


def _hill(x: Array, y: Array, a: float, b: float) -> Array:
    """A smooth hill of height 1 around 0, about a and b wide to each side."""
    found: Array = np.exp(-((x / a) ** 2) - (y / b) ** 2)
    return found
