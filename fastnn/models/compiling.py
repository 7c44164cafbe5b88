"""Compile: optimizer, losses and metrics of a model."""

from __future__ import annotations

from typing import Any

from fastnn import optimizers
from fastnn.backends.devices import CHOICES, require_gpu
from fastnn.errors import ArgumentError, NotBuiltError
from fastnn.models.network import Network
from fastnn.serialization import check_choice
from fastnn.training.compiled import Compiled, check_names
from fastnn.training.state import OptimizerState
from fastnn.training.step import StepPlan


class Compiling(Network):
    """A network with the settings of its training."""

    def __init__(self, name: str | None = None, seed: int | None = None, dtype: str = "float32"):
        self._compiled: Compiled | None = None
        self._compile_arguments: dict[str, Any] = {}
        self._state: OptimizerState | None = None
        super().__init__(name=name, seed=seed, dtype=dtype)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        *,
        device: str = "cpu",
    ) -> None:
        """Choose optimizer, loss and metrics. If something is wrong, what was chosen before stays.

        Parameters
        ----------
        optimizer : str or Optimizer, default 'rmsprop'
        loss : str, Loss, or a list or dict of them, one for each output
            An output whose loss is None is not trained on.
        loss_weights : list or dict of float, optional
        metrics : list, optional
            Names, Metric objects or callables; nested or a dict for several outputs.
        weighted_metrics : list, optional
            The same, taking sample weights into account.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted as Keras scripts pass them: every fastnn program is compiled and runs whole epochs in
            one call, and no loss is scaled. ``run_eagerly=True`` is refused.
        device : {'cpu', 'gpu', 'auto'}, default 'cpu'
            Where the model is trained, evaluated and predicts. ``'gpu'`` needs a CUDA device and CuPy
            (:func:`fastnn.devices` lists what there is). ``'auto'`` decides at every call: a GPU if the data
            are in its memory, or if the size of the data times the size of the model makes it faster by the
            estimate of ``fastnn.backends.devices.seconds``; else the CPU. ``model.device_choice`` says what
            was chosen and why, and ``fit`` prints it if it prints anything. The weights are in the computer's
            memory between calls, whatever the device, and files do not record it.

        Raises
        ------
        UnknownNameError
            If a name is not known; the nearest one is suggested.
        ArgumentError, ShapeError
            If a loss does not fit its output.
        DeviceError
            If ``device='gpu'`` and there is none; what is missing is named.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, input_shape=(2,))])
        >>> model.compile(optimizer="adam", loss="mse", metrics=["mae"])
        >>> model.metrics_names
        ['loss', 'mae']
        """
        if run_eagerly:
            raise ArgumentError(
                "run_eagerly is not implemented, expected False: use fastnn.ops to compute step by step. "
                f"Received: run_eagerly={run_eagerly!r}."
            )
        if loss is None:
            raise ArgumentError("compile() needs a loss. Received: loss=None.")
        check_choice("device", device, "compile", CHOICES)
        if device == "gpu":
            require_gpu()
        arguments = {
            "optimizer": optimizers.get(optimizer),
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        if self.built:
            self._compiled = self._fitting(arguments)
        else:  # names are checked now, shapes when they are known
            check_names(loss, [metrics, weighted_metrics])
            self._compiled = None
        self._compile_arguments = arguments
        self._state = None
        self.device, self.device_choice = device, None

    def _fitting(self, arguments: dict[str, Any]) -> Compiled:
        """Return the settings, if they fit the outputs."""
        compiled = Compiled(self.output_names, **arguments)
        for k, loss in enumerate(compiled.losses):
            if loss is not None:
                shape = (None, *self.outputs[k].spec.shape)
                loss.check(shape, None, self.output_activation(k), where=self.describe_output(k))
        compiled.resolve_metrics(self.output_shapes, [None] * len(self.outputs))
        return compiled

    def _require_compiled(self) -> None:
        if not self._compile_arguments:
            raise NotBuiltError(f"Model {self.name!r} must be compiled first: call compile(optimizer, loss).")

    @property
    def compiled(self) -> Compiled:
        """What compile() settled."""
        self._require_compiled()
        if self._compiled is None:
            self._require_built()
            self._compiled = self._fitting(self._compile_arguments)
        return self._compiled

    @property
    def optimizer(self) -> Any:
        """The optimizer given to compile()."""
        self._require_compiled()
        return self._compile_arguments["optimizer"]

    @property
    def loss(self) -> Any:
        """The loss given to compile()."""
        self._require_compiled()
        return self._compile_arguments["loss"]

    @property
    def iterations(self) -> int:
        """Training steps since compile(); within an epoch, those before it."""
        return 0 if self._state is None else self._state.step

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that evaluate() returns."""
        compiled = self.compiled
        names = ["loss"]
        if len(compiled.losses) > 1:
            pairs = zip(compiled.output_names, compiled.losses, strict=True)
            names += [f"{name}_loss" for name, loss in pairs if loss is not None]
        resolved = compiled.resolve_metrics(self.output_shapes, [None] * len(self.outputs))
        return names + [compiled.metric_key(k, metric) for k, metric, _ in resolved]

    def optimizer_state(self, plan: StepPlan) -> OptimizerState:
        """Return the optimizer's state vectors, made on first use and kept until the next compile()."""
        if self._state is None or not self._state.fits(plan, self.storage.array):
            self._state = OptimizerState(plan, self.storage.array, self._state)
        return self._state

    def swap_average(self, wanted: bool) -> None:
        """Put the moving average, which an optimizer with ``use_ema=True`` keeps, in the weights' place.

        Before the first step there is no average, and nothing is done.

        Parameters
        ----------
        wanted : bool
            False puts the weights back.
        """
        state = self._state
        if state is not None and state.step and state.swapped != wanted:
            state.swap_average(self.storage.array, self.trainable_variables)

    def _forget(self) -> None:
        """Know no inputs and outputs; what compile() was given stays."""
        super()._forget()
        self._compiled = None

    def _connect(self, inputs: Any, outputs: Any) -> None:
        """Connect; losses and metrics are checked against the new outputs when they are next needed."""
        super()._connect(inputs, outputs)
        self._compiled = None
