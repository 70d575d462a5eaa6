"""The sections of the page in which the reader tries things."""

from typing import Any

from cnn_jax.report.page import Block, Panel, Row, Section


def sections(data: dict[str, Any]) -> list[Section]:
    """The sections, each with its text first and then its panel. data: of `payload.compute`."""
    if not data["networks"]:
        return [Section("Try it", ["The parts to try are left out.", *data["left_out"]])]
    return [_draw(data), _maps(data), _unit(), _stepper()]


def _draw(data: dict[str, Any]) -> Section:
    blocks: list[Block] = [
        "Draw a digit on the paper, with a mouse, a pen or a finger. Or paste a picture, drop a file, or choose a test "
        "image. The networks were trained before, and answer on this page: nothing is sent anywhere.",
        *(f"{network['title']}: {network['origin']}" for network in data["networks"]),
        *(f"Left out here: {reason}" for reason in data["left_out"]),
        Row([Panel("canvas"), Panel("probabilities")]),
        "The page's address names what you have drawn and chosen. Send it along with this file, and others see the "
        "same.",
    ]
    if data["mnist_form"]:
        blocks += [
            "A network knows only pictures like those that it learned from. The digits of MNIST were all brought to "
            "one form: the box around the ink was scaled to fit 20 x 20 pixels, and placed in 28 x 28 pixels by its "
            "centre of mass. Your drawing is brought to the same form. Take the tick away, draw a small digit in a "
            "corner, and see what the networks make of it.",
            Panel("steps"),
        ]
    return Section("Draw a digit", blocks)


def _maps(data: dict[str, Any]) -> Section:
    return Section(
        "What every layer makes of it",
        [
            "A network is a chain of layers. Each filter of a convolution gives one map, and each number of a map is "
            "the output of one unit. These are all maps of your drawing. They have one scale of colours: blue is "
            "below zero, white is zero, red is above zero. Its ends stand beside the name of each layer, and stay the "
            "same for every drawing; a larger number has the colour of the end.",
            "Point at a unit to see its number. A frame on the picture shows its receptive field, the pixels that it "
            "sees. The frames in the layer before it show what it reads, and those in the next layer which units read "
            "it. Click a unit to see how it is computed, in the next section. With keys: tabulator to a layer, arrows "
            "to a unit, Page Up and Page Down to another map, Enter to choose it.",
            Panel("maps"),
        ],
    )


def _unit() -> Section:
    return Section(
        "How one unit computes its number",
        [
            "A unit of a convolution multiplies its window with the filter's kernel, number by number, and adds up the "
            "products. If the layer before has several maps, they are the channels: each has a window and a kernel of "
            "its own, and the sums of all channels are added. Then comes the bias. The ReLU makes zero of a negative "
            "number. A unit of a pooling layer takes the largest number of its window. A unit of the last layer reads "
            "all numbers of the maps before it.",
            "Slide the window: the map fills with the number of each place. The filter stays the same.",
            Panel("unit"),
        ],
    )


def _stepper() -> Section:
    return Section(
        "Slide a template over X and O",
        [
            "The smallest example is a letter of 9 x 9 pixels, and a template of 3 x 3 that looks for a piece of a "
            "stroke. Ink is 1, paper is \N{MINUS SIGN}1. The product is 1 where template and letter agree. The mean "
            "of the nine products goes into the map: it is 1 where all nine agree. Click a pixel of the letter or of "
            "the template to turn it over; the map follows.",
            Panel("stepper"),
        ],
    )
