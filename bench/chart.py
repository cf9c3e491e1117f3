# SPDX-License-Identifier: MIT
"""Charts as SVG: dots with their intervals, and bars, one group a line. Light, and no library."""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 760, 190, 96
TOP, BOTTOM = 102, 52
PLOT = WIDTH - LEFT - RIGHT
INK, SOFT, GRID = "#1d2430", "#5c6675", "#e3e7ec"
FONT = "system-ui, 'DejaVu Sans', Verdana, sans-serif"


class Drawing:
    """The elements of a chart, from the top to the bottom."""

    def __init__(self, title, subtitle):
        self.elements = []
        self.text(20, 28, title, size=16, weight="600")
        self.text(20, 47, subtitle, size=12, color=SOFT)

    def add(self, name, **attributes):
        words = " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in attributes.items())
        self.elements.append(f"<{name} {words}/>")

    def text(self, x, y, words, size=12, color=INK, anchor="start", weight="400"):
        self.elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
            f'fill="{color}" text-anchor="{anchor}" paint-order="stroke" stroke="#ffffff" '
            f'stroke-width="3">{escape(str(words))}</text>')

    def line(self, x1, y1, x2, y2, color, width=1.0, dash="none"):
        self.add("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}",
                 stroke=color, stroke_width=width, stroke_dasharray=dash)

    def box(self, x, y, width, height, color):
        self.add("rect", x=f"{x:.1f}", y=f"{y:.1f}", width=f"{width:.1f}",
                 height=f"{height:.1f}", fill=color)

    def dot(self, x, y, color):
        self.add("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4.5, fill=color, stroke="#ffffff",
                 stroke_width=1)

    def legend(self, series):
        """{name: colour}, in a line or two below the subtitle."""
        x, y = 20, 59
        for name, color in series.items():
            width = 34 + 6.6 * len(name)
            if x + width > WIDTH:
                x, y = 20, y + 17
            self.box(x, y, 11, 11, color)
            self.text(x + 16, y + 10, name)
            x += width

    def finish(self, height):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
                f'width="{WIDTH}" height="{height:.0f}" font-family="{FONT}">')
        ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
        return "\n".join(["<!-- SPDX-License-Identifier: MIT; drawn by bench/report.py -->", head,
                          ground, *self.elements, "</svg>"]) + "\n"


def ticks(low, high, most=7):
    """Round numbers from `low` to `high`, both of them beyond or on it."""
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) for i in range(first, last + 1)]


def tick_words(values):
    digits = max(len(f"{value:.4f}".rstrip("0").partition(".")[2]) for value in values)
    return [f"{value:,.{digits}f}" for value in values]


class Axis:
    """Values to places, and the grid that shows them."""

    def __init__(self, low, high):
        self.ticks = ticks(low, high)

    def x(self, value):
        low, high = self.ticks[0], self.ticks[-1]
        return LEFT + PLOT * (min(max(value, low), high) - low) / (high - low)

    def draw(self, drawing, bottom, words):
        for value, text in zip(self.ticks, tick_words(self.ticks)):
            drawing.line(self.x(value), TOP, self.x(value), bottom, GRID)
            drawing.text(self.x(value), bottom + 16, text, size=11, color=SOFT, anchor="middle")
        drawing.text(LEFT + PLOT / 2, bottom + 36, words, size=11, color=SOFT, anchor="middle")


def dots(title, subtitle, series, groups, unit):
    """Ratios with their intervals beside 1: groups are [(label, {name: (value, interval)})]."""
    step = 17
    ends = [1.0]
    for _, values in groups:
        for value, interval in values.values():
            ends += [value, *(interval or [])]
    spare = (max(ends) - min(ends)) * 0.05 or 0.05
    axis = Axis(min(ends) - spare, max(ends) + spare)
    drawing = Drawing(title, subtitle)
    drawing.legend(series)
    bottom = TOP + sum(step * len(values) + 14 for _, values in groups)
    axis.draw(drawing, bottom, unit)
    drawing.line(axis.x(1), TOP, axis.x(1), bottom, SOFT, 1.5, "4 3")
    y = TOP
    for label, values in groups:
        drawing.text(LEFT - 12, y + 7 + step * len(values) / 2 + 4, label, anchor="end")
        y += 7
        for name, (value, interval) in values.items():
            middle, color = y + step / 2, series[name]
            if interval:
                drawing.line(axis.x(interval[0]), middle, axis.x(interval[1]), middle, color, 3)
            drawing.dot(axis.x(value), middle, color)
            drawing.text(WIDTH - 20, middle + 4, f"{value:.3f}", size=11, color=color,
                         anchor="end")
            y += step
        y += 7
    return drawing.finish(bottom + BOTTOM)


def bars(title, subtitle, series, groups, unit, words="{:,.0f}".format, legend=True):
    """Bars from 0, one below the other: groups are [(label, {name: value})]."""
    return stacks(title, subtitle, series,
                  [(label, [{name: value} for name, value in values.items()])
                   for label, values in groups], unit, words, legend)


def stacks(title, subtitle, series, groups, unit, words="{:,.0f}".format, legend=True):
    """Bars from 0 in parts, one behind the other: groups are [(label, [{part: value}])]."""
    step = 17
    axis = Axis(0, max(sum(stack.values()) for _, group in groups for stack in group))
    drawing = Drawing(title, subtitle)
    if legend:
        drawing.legend(series)
    bottom = TOP + sum(step * len(group) + 14 for _, group in groups)
    axis.draw(drawing, bottom, unit)
    y = TOP
    for label, group in groups:
        drawing.text(LEFT - 12, y + 7 + step * len(group) / 2 + 4, label, anchor="end")
        y += 7
        for stack in group:
            done = 0
            for part, value in stack.items():
                drawing.box(axis.x(done), y + 2, axis.x(done + value) - axis.x(done), step - 4,
                            series[part])
                done += value
            drawing.text(axis.x(done) + 6, y + step / 2 + 4, words(done), size=11, color=SOFT)
            y += step
        y += 7
    drawing.line(LEFT, TOP, LEFT, bottom, SOFT)
    return drawing.finish(bottom + BOTTOM)
