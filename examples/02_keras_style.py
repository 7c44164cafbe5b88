"""A Keras script that needs another import: two noisy rings, 25 epochs, callbacks, TensorBoard.

    python examples/02_keras_style.py --out figures            # needs: pip install 'fastnn[examples]'
    tensorboard --logdir figures/logs                          # what the callback has written

From Keras to fastnn, ``from keras import ...`` becomes ``from fastnn import ...``; checkpoints end in
``.fastnn``.
"""

import argparse
import time
from pathlib import Path

from fastnn import viz
from fastnn.callbacks import EarlyStopping, ModelCheckpoint, TensorBoard
from fastnn.datasets import circles
from fastnn.layers import Activation, Dense, Input
from fastnn.models import Sequential
from fastnn.viz.style import figure

EPOCHS, BATCH, HELD_OUT = 25, 128, 0.2


def network(seed=0):
    return Sequential(
        [
            Input(shape=(2,), name="point"),
            Dense(3, name="hidden"),
            Activation("sigmoid", name="logistic"),
            Dense(2, name="output"),
            Activation("softmax", name="softmax"),
        ],
        name="rings",
        seed=seed,
    )


def draw(out, model, history, X, labels):
    sheet = figure(11, 9.4)
    ax = sheet.add_subplot(2, 2, 1)
    viz.loss_curve(history, ax=ax)
    ax.set(title="loss", ylabel="binary cross-entropy (nats)")
    ax = sheet.add_subplot(2, 2, 2)
    viz.decision_boundary(model, X, labels, ax=ax)
    ax.set_aspect("equal")
    ax.set_title("points held out, and the boundary")
    ax = sheet.add_subplot(2, 2, 3, projection="3d")
    viz.hidden_space(model, X, labels, ax=ax, layer="logistic")
    ax.set_title("points in the hidden units' space")
    ax = sheet.add_subplot(2, 2, 4, projection="3d")
    viz.output_plane(model, X, labels, ax=ax)
    ax.set_title("the output's plane between them")
    sheet.savefig(out / "02_keras_style.png", dpi=80)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", default="figures", type=Path, help="folder of figure and logs (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="2,000 points, 3 epochs")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    rows, epochs = (2_000, 3) if args.quick else (50_000, EPOCHS)
    X, labels, Y = circles(rows, factor=0.1, noise=0.1, seed=0)

    model = network()
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    model.summary()
    best = args.out / "02_keras_style.fastnn"
    began = time.perf_counter()
    history = model.fit(
        X,
        Y,
        epochs=epochs,
        batch_size=BATCH,
        validation_split=HELD_OUT,
        verbose=2,
        callbacks=[
            TensorBoard(log_dir=args.out / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}", histogram_freq=1),
            EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True),
            ModelCheckpoint(best, monitor="val_loss", save_best_only=True),
        ],
    )
    seconds = time.perf_counter() - began

    held = int(rows * (1 - HELD_OUT))  # the last rows: validation_split takes these
    print(f"\n{'':<12}{'points':>8}{'loss':>10}{'accuracy':>10}")
    result = {}
    for name, part in (("training", slice(0, held)), ("held out", slice(held, None))):
        result[name] = model.evaluate(X[part], Y[part], batch_size=BATCH, verbose=0, return_dict=True)
        values = result[name]
        print(f"{name:<12}{len(X[part]):>8,}{values['loss']:>10.5f}{values['accuracy']:>10.2%}")
    print(f"\n{len(history.epoch)} epochs with all callbacks in {seconds:.1f} s; best weights: {best}")
    draw(args.out, model, history, X[held:], labels[held:])
    print(f"figure: {args.out / '02_keras_style.png'}\ntensorboard --logdir {args.out / 'logs'}")
    return result


if __name__ == "__main__":
    main()
