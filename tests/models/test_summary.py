"""What users see of a model."""

from __future__ import annotations

from model_helpers import chapter

from fastnn.layers import Add, Dense, Input
from fastnn.models import Model, Sequential

CHAPTER = """\
Model: "chapter"
──────────────────────────────────────────────
Layer (type)           Output Shape  Param #
──────────────────────────────────────────────
hidden (Dense)         (None, 3)           9
logistic (Activation)  (None, 3)           0
output (Dense)         (None, 2)           8
softmax (Activation)   (None, 2)           0
──────────────────────────────────────────────
Total params: 17 (68 B)
Trainable params: 17 (68 B)
Non-trainable params: 0 (0 B)
"""


def test_the_chapters_table(capsys):
    chapter(name="chapter").summary()
    assert capsys.readouterr().out == CHAPTER


def test_print_fn_and_line_length():
    written = []
    chapter(name="chapter").summary(line_length=80, print_fn=written.append)
    assert len(written) == 1
    assert "─" * 80 in written[0].splitlines()


def test_connections_are_shown_where_there_are_branches(capsys):
    x = Input(shape=(2,), name="x")
    shared = Dense(2, name="shared")
    Model(x, Add(name="sum")([shared(x), shared(shared(x))])).summary()
    lines = {line.split(" ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["sum"].endswith("shared, shared")
    assert lines["shared"].endswith("x, x, shared")
    assert lines["shared"].split()[-4] == "6"


def test_a_chain_shows_no_connections(capsys):
    x = Input(shape=(2,), name="x")
    Model(x, Dense(1)(x)).summary()
    assert "Connected" not in capsys.readouterr().out


def test_frozen_parameters_and_large_numbers(capsys):
    model = Sequential([Dense(1000, input_shape=(1000,)), Dense(1)], dtype="float64")
    model.layers[0].trainable = False
    model.summary()
    out = capsys.readouterr().out
    assert "1,001,000" in out
    assert "Trainable params: 1,001 (7.82 KB)" in out
    assert "Non-trainable params: 1,001,000 (7.64 MB)" in out


def test_a_model_that_waits_for_data(capsys):
    model = Sequential([Dense(3, name="hidden")], name="waiting")
    model.summary()
    out = capsys.readouterr().out
    assert "hidden (Dense)" in out
    assert "0 (unbuilt)" in out
    assert repr(model) == "<Sequential 'waiting', not built>"


def test_no_layers(capsys):
    Sequential(name="empty").summary()
    assert "Total params: 0 (0 B)" in capsys.readouterr().out


def test_notebooks_get_a_table():
    text = chapter(name="a<b")._repr_html_()
    assert "<b>a&lt;b</b>" in text
    assert "<td>hidden (Dense)</td><td>(None, 3)</td><td>9</td>" in text
    assert "Total params: 17 (68 B)" in text
    assert text.count("<tr>") == text.count("</tr>") == 5


def test_repr():
    assert repr(chapter(name="chapter")) == "<Sequential 'chapter', 17 parameters>"
