"""What TensorBoard's real server shows of our files, in a real browser."""

import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from fastnn.callbacks import TensorBoard
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential
from fastnn.optimizers import Adam

pytest.importorskip("tensorboard", reason="tensorboard is not installed")
pytest.importorskip("selenium", reason="selenium, which drives the browser, is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed"),
]
#: Most seconds until the server answers, and until a page is drawn.
SERVER, PAGE = 60, 60
SCALARS = ["epoch_loss", "epoch_accuracy", "epoch_learning_rate"]
#: The text of a page with that of its components (shadow trees), a line for each piece.
TEXT = """
function text(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.textContent.trim() + '\\n';
  if (['STYLE', 'SCRIPT', 'TEMPLATE', 'NOSCRIPT'].includes(node.nodeName)) return '';
  const inner = [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes];
  return inner.map(text).join('');
}
return text(document.body);
"""


def train(folder, units, rate):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 10)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    stack = [Dense(units, "relu", input_shape=(10,), name="hidden"), Dropout(0.1, name="drop")]
    model = Sequential([*stack, Dense(1, "sigmoid", name="output")], seed=1)
    model.compile(Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    board = TensorBoard(folder, histogram_freq=1, write_images=True, hparams={"note": f"run {folder.name}"})
    model.fit(x, y, epochs=6, validation_split=0.2, verbose=0, callbacks=[board])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start TensorBoard on two trainings; gives its address."""
    folder = tmp_path_factory.mktemp("logs")
    train(folder / "wide", 32, 0.01)
    train(folder / "narrow", 8, 0.03)
    log = tmp_path_factory.mktemp("server") / "log"
    address = ["--host", "127.0.0.1", "--port", "0"]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), *address]
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + SERVER
        while not (found := re.search(r"http://[\w.]+:\d+/", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        "--window-size=1500,1300", f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.mark.parametrize(
    ("tab", "expected"),
    {
        "timeseries": [*SCALARS, "wide/train", "narrow/validation"],
        "scalars": [*SCALARS, "wide/train", "narrow/validation"],
        "histograms": ["hidden/kernel/histogram", "hidden/bias/gradient/histogram", "narrow/train"],
        "distributions": ["hidden/kernel/histogram", "hidden/bias/gradient/histogram", "wide/train"],
        "graphs": ["\nhidden\n", "\ndrop\n", "\noutput\n", "wide/train"],
        "hparams": [
            "layer 1 Dense units", "learning_rate", "batch_size", "train.epoch_loss", "validation.epoch_loss",
            "run wide", "run narrow",
        ],
        "text": ["hidden (Dense)", "Total params: 385", "Total params: 97", "binary_crossentropy"],
        "images": ["hidden/kernel/image", "hidden/bias/image"],
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_page_shows(server, browser, tab, expected):
    browser.get("about:blank")
    browser.get(f"{server}#{tab}")
    deadline = time.monotonic() + PAGE
    while missing := [word for word in expected if word not in (shown := browser.execute_script(TEXT))]:
        assert time.monotonic() < deadline, f"{missing} are not among: {shown}"
        time.sleep(0.2)
    if folder := os.environ.get("FASTNN_SCREENSHOTS"):
        time.sleep(2)  # curves are drawn after their titles
        assert browser.save_screenshot(os.path.join(folder, f"{tab}.png"))
