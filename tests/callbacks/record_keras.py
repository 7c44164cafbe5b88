"""Ask an installed Keras what its callbacks decide, and write ``keras_decisions.json``.

Run it where Keras is, ``python tests/callbacks/record_keras.py``; the test of the table needs no Keras.
"""

import json

import keras
from decisions import STEPS, TABLE, cases, replay


def every_batch(callback, epoch, logs):
    for batch in range(STEPS):
        callback.on_train_batch_begin(batch, {})
        callback.on_train_batch_end(batch, dict(logs))


def main():
    recorded = [{**case, "keras": replay(keras.callbacks, case, every_batch)} for case in cases()]
    lines = ",\n".join(json.dumps(case) for case in recorded)  # a line a case; NaN as Python writes it
    TABLE.write_text(f'{{"keras": "{keras.__version__}", "cases": [\n{lines}\n]}}\n')
    print(f"{len(recorded)} cases of Keras {keras.__version__} in {TABLE}")


if __name__ == "__main__":
    main()
