"""Write keras_schedules.json, the rates that Keras' schedules give: run with a Python that has Keras.

python tests/schedules/record_keras_schedules.py
"""

import inspect
import json
from pathlib import Path

import keras
from schedule_cases import KERAS, STEPS

records = []
for name, arguments in KERAS:
    cls = getattr(keras.optimizers.schedules, name)
    schedule = cls(**arguments)
    signature = [
        [p.name, None if p.default is p.empty else p.default]
        for p in list(inspect.signature(cls.__init__).parameters.values())[1:]
    ]
    records.append(
        {
            "class_name": name,
            "config": schedule.get_config(),
            "signature": signature,
            "rates": [float(schedule(keras.ops.convert_to_tensor(step, "int64"))) for step in STEPS],
        }
    )
path = Path(__file__).with_name("keras_schedules.json")
path.write_text(json.dumps({"keras": keras.__version__, "steps": STEPS, "records": records}, indent=1) + "\n")
