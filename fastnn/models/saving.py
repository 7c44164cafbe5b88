"""Saving: models write themselves to files, and are pickled and copied as arrays and configuration."""

from __future__ import annotations

import os
from typing import Any

from fastnn.models import contents, formats
from fastnn.models.settings_config import own_things
from fastnn.models.using import Using
from fastnn.serialization import check_bool


class Saving(Using):
    """A network that can be saved, pickled and copied.

    Attributes
    ----------
    schema : dict or None
        Plain data about the tables the model was trained on, which files keep: columns, levels, units.
        ``fastnn fit --save`` writes it.
    """

    schema: dict[str, Any] | None = None

    def save(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, include_optimizer: bool = True
    ) -> None:
        """Write the model to a file: structure, weights, what compile() was given, the state of training.

        Parameters
        ----------
        filepath : str or PathLike
            Its suffix tells the format; ``.fastnn`` keeps everything. Saved while SwapEMAWeights has the
            moving average in the weights' place, a model predicts with the average, and goes on training
            with the weights.
        overwrite : bool, default True
            Whether a file that is there already is replaced: in one step, so it survives every failure.
        include_optimizer : bool, default True
            Whether what compile() was given, and the optimizer's state, are saved. Without them a loaded
            model predicts the same, and must be compiled to be trained.

        Raises
        ------
        ArgumentError
            If the suffix is not known, or the model holds what no file can: functions as learning rate (then
            ``include_optimizer=False`` helps) or as initializer.
        FileExistsError
            If the file is there, and `overwrite` is False.
        OSError
            If it cannot be written; an old file is as it was.

        Examples
        --------
        >>> import tempfile
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential, load_model
        >>> model = Sequential([Dense(1, input_shape=(2,))], name="small")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/small.fastnn")
        ...     load_model(f"{folder}/small.fastnn")
        <Sequential 'small', 3 parameters>
        """
        write = formats.function_for("save", filepath)
        with_optimizer = check_bool("include_optimizer", include_optimizer, "save")
        write(self, formats.writable(filepath, overwrite), with_optimizer)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone to a file.

        Parameters
        ----------
        filepath : str or PathLike
            Its suffix tells the format: ``.fastnn`` and others.
        overwrite : bool, default True

        Raises
        ------
        NotBuiltError
            If the model has no weights yet.
        ArgumentError, FileExistsError, OSError
            As of :meth:`save`.
        """
        write = formats.function_for("save_weights", filepath)
        self._require_built()
        write(self, formats.writable(filepath, overwrite))

    def load_weights(self, filepath: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
        """Set the weights to those in a file, of weights or of a whole model.

        Parameters
        ----------
        filepath : str or PathLike
            Layers are matched by name, or, if names differ, in order; names of weights and shapes must agree.
        skip_mismatch : bool, default False
            Leave out the layers whose weights differ from the file's in number, names or shapes, and warn of
            them. Of ``.fastnn`` and ``.weights.h5``.

        Raises
        ------
        FileFormatError
            If the file is damaged, or holds other weights than the model has; the model is as it was then.
        NotBuiltError
            If the model has no weights yet.
        ArgumentError, OSError
            If the suffix is not known, or the format cannot skip; if the file cannot be read.

        Examples
        --------
        >>> import tempfile
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model, other = (Sequential([Dense(1, input_shape=(2,))]) for _ in range(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_weights(f"{folder}/weights.fastnn")
        ...     other.load_weights(f"{folder}/weights.fastnn")
        >>> bool((model.get_weights()[0] == other.get_weights()[0]).all())
        True
        """
        skip = check_bool("skip_mismatch", skip_mismatch, "load_weights")
        read = formats.function_for("load_weights", filepath)
        self._require_built()
        read(self, formats.readable(filepath), skip)

    def check_suffix(self, filepath: str | os.PathLike[str], weights_only: bool = False) -> None:
        """Raise ArgumentError unless :meth:`save`, or :meth:`save_weights`, knows a path's suffix."""
        formats.function_for("save_weights" if weights_only else "save", filepath)

    def __reduce__(self) -> Any:
        """Pickle and copy as configuration, arrays, and the objects given to compile()."""
        arrays, data = contents.take_apart(self)
        return _restored, (type(self), arrays, data, own_things(self.layers), self._compile_arguments)


def _restored(cls: Any, arrays: Any, data: Any, own: Any, compile_arguments: dict[str, Any]) -> Any:
    """Make a model from what was pickled."""
    model = contents.build(cls, arrays, data, own)
    if compile_arguments:
        model.compile(**compile_arguments)
        contents.resume(model, arrays, data)
    return model
