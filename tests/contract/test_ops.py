"""The table's promises, kept by every op's kernels: results, arguments, layouts, refusals."""

import numpy as np
import pytest
from op_table import (
    OPS,
    SUMS_OVER_ROWS,
    WRITERS,
    as_tuple,
    cast,
    check,
    each_dtype,
    each_op,
    names_of,
    reference,
    rows_of,
    run,
    samples,
    specs_of,
)

from fastnn import ops
from fastnn.backends.cpu import kernels
from fastnn.errors import ArgumentError, DataError, DtypeError, ShapeError
from fastnn.graph.plan import UNITS_MAJOR_OPS
from fastnn.ops import registry
from fastnn.ops.activations import ELEMENTWISE
from fastnn.ops.losses import LOSSES
from fastnn.ops.registry import INTEGER_NAMES

#: Ops without a sample of no rows, and why.
NEVER_EMPTY = {
    "batch_norm_train": "no rows have no mean",
    "batch_norm_dx": "no rows have no mean",
}
#: Ops that know blocks of (units, rows).
BOTH_LAYOUTS = sorted(
    name for name in OPS if name in UNITS_MAJOR_OPS or name.removesuffix("_grad") in ELEMENTWISE
)


# --------------------------------------------------------------------------- the records
@pytest.mark.parametrize("name", registry.names())
def test_every_op_has_a_kernel_and_a_summary(name):
    assert kernels.has_lowering(name)
    assert registry.get(name).summary


@each_op
def test_every_op_has_samples_among_them_none_and_one_row(name):
    found = [rows_of(name, sample.arrays) for sample in samples(name)]
    assert 1 in found and max(found) > 1
    assert (0 in found) != (name in NEVER_EMPTY)
    assert len({sample.name for sample in samples(name)}) == len(found), "samples share a name"


@each_op
def test_every_op_is_a_function_of_the_array_api(name):
    function = getattr(ops, name)
    assert registry.get(name).summary in function.__doc__
    for entry in registry.get(name).inputs:
        assert entry in repr(function)


# --------------------------------------------------------------------------- results and arguments
@each_dtype
@each_op
def test_result_is_the_reference(name, dtype):
    for sample in samples(name):
        arrays = cast(sample.arrays, dtype)
        before = [array.tobytes() for array in arrays]
        found = as_tuple(getattr(ops, name)(*arrays, **sample.attrs))
        check(name, found, reference(name, arrays, sample.attrs), dtype, f"sample {sample.name!r}")
        assert [array.tobytes() for array in arrays] == before, f"{sample.name!r} changed its inputs"
        assert not any(np.may_share_memory(y, a) for y in found for a in arrays), sample.name


def spread(array):
    """Return the array as every second number of a larger one, NaN or -7 between, backwards, read-only."""
    filler = np.nan if array.dtype.kind == "f" else -7
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1] + 1), filler, array.dtype)
    view = wide[..., -2::-2] if array.shape[-1] else wide[..., :0]
    view[...] = array
    view.flags.writeable = False
    return view


@each_dtype
@each_op
def test_strided_and_read_only_inputs_give_the_same_bits(name, dtype):
    for sample in samples(name):
        arrays = cast(sample.arrays, dtype)
        expected = as_tuple(getattr(ops, name)(*arrays, **sample.attrs))
        columns = [np.asfortranarray(array) for array in arrays]
        for form in ([spread(array) for array in arrays], columns):
            found = as_tuple(getattr(ops, name)(*form, **sample.attrs))
            for y, z in zip(found, expected, strict=True):
                assert y.dtype == z.dtype and y.tobytes() == z.tobytes(), sample.name


@each_op
def test_integers_and_lists_are_read_as_float64(name):
    sample = next(s for s in samples(name) if rows_of(name, s.arrays) == 1)
    arrays = [
        np.ones_like(a, dtype=np.int64) if np.asarray(a).dtype.kind == "f" else a for a in sample.arrays
    ]
    for form in (arrays, [a.tolist() for a in arrays], [a.astype(bool) for a in arrays]):
        with np.errstate(all="ignore"):
            found = as_tuple(getattr(ops, name)(*form, **sample.attrs))
        assert all(y.dtype == np.float64 for y in found)
    mixed = cast(sample.arrays, np.float32)
    mixed[-1] = mixed[-1].astype(np.float64) if mixed[-1].dtype.kind == "f" else mixed[-1]
    wanted = max(a.dtype for a in mixed if a.dtype.kind == "f")
    assert all(y.dtype == wanted for y in as_tuple(getattr(ops, name)(*mixed, **sample.attrs)))


def with_one_number(name, value, skip=()):
    """For every input in turn: where, an untouched sample, its arrays with one number replaced."""
    rng = np.random.default_rng(4)
    sample = next(s for s in samples(name) if s.differentiable and rows_of(name, s.arrays) > 1)
    for position, array in enumerate(sample.arrays):
        label = names_of(name, sample.arrays)[position]
        if array.dtype.kind == "f" and label not in skip:
            changed = [np.array(a) for a in sample.arrays]
            changed[position].flat[rng.integers(array.size)] = value
            yield f"{value} in {label!r}", sample, changed


@each_dtype
@each_op
def test_nan_goes_where_the_reference_says(name, dtype):
    pairs = zip(with_one_number(name, np.nan), with_one_number(name, 0.123), strict=True)
    for (where, sample, bad), (_, _, other) in pairs:
        found = as_tuple(getattr(ops, name)(*cast(bad, dtype), **sample.attrs))
        with np.errstate(all="ignore"):
            expected = reference(name, cast(bad, dtype), sample.attrs)
            before, after = (reference(name, a, sample.attrs) for a in (sample.arrays, other))
        for y, exact, one, two in zip(found, expected, before, after, strict=True):
            assert not (np.isnan(y) & ~np.isnan(exact)).any(), f"{where} spreads too far"
            # A gradient at a unit that is shut may drop the NaN; one on which the result depends may not.
            needed = np.isnan(exact) if name in FORWARD else np.isnan(exact) & (np.asarray(one) != two)
            assert np.isnan(y)[needed].all(), f"{where} is lost"


#: Ops that run on the user's data, as gradients do not.
FORWARD = [name for name in OPS if registry.get(name).gradient is not None]
#: Inputs that are never infinite: training refuses such data, and statistics come from finite data.
FINITE = ("target", "mean", "variance")


@each_dtype
@pytest.mark.parametrize("name", FORWARD)
def test_infinities_go_where_the_reference_says(name, dtype):
    for value in (np.inf, -np.inf):
        for where, sample, arrays in with_one_number(name, value, skip=FINITE):
            found = as_tuple(getattr(ops, name)(*cast(arrays, dtype), **sample.attrs))
            with np.errstate(all="ignore"):
                expected = reference(name, cast(arrays, dtype), sample.attrs)
            for y, exact in zip(found, expected, strict=True):
                # Of a loss only this matters, that training stops: whether with NaN or an infinity.
                for test in [np.isfinite] if name in LOSSES else [np.isnan, np.isposinf, np.isneginf]:
                    np.testing.assert_array_equal(test(y), test(exact), where)


# --------------------------------------------------------------------------- blocks of programs
@each_dtype
@pytest.mark.parametrize("name", BOTH_LAYOUTS)
def test_both_layouts_are_the_reference(name, dtype):
    tried = 0
    for sample in samples(name):
        arrays = cast(sample.arrays, dtype)
        if any(s.rows and len(s.shape) > 1 for s in specs_of(name, arrays)):
            continue
        expected = reference(name, arrays, sample.attrs)
        for units_major in (False, True):
            found = run(name, arrays, dtype, units_major=units_major, **sample.attrs)
            check(name, found, expected, dtype, f"sample {sample.name!r}, units_major={units_major}")
        tried += 1
    assert tried


@each_dtype
@pytest.mark.parametrize("units_major", [False, True])
@pytest.mark.parametrize("name", SUMS_OVER_ROWS)
def test_sums_over_rows_overwrite_first_then_add(name, units_major, dtype):
    if units_major and name not in BOTH_LAYOUTS:
        pytest.skip("has no kernel for blocks of (units, rows)")
    for sample in samples(name):
        arrays = cast(sample.arrays, dtype)
        if units_major and any(s.rows and len(s.shape) > 1 for s in specs_of(name, arrays)):
            continue
        once, *rest = reference(name, arrays, sample.attrs)
        outputs = run(name, arrays, dtype, units_major=units_major, **sample.attrs)
        for number, options in enumerate(({}, {"first": 0}, {"accumulate": True}), start=1):
            if not options:  # a lane's first block finds what an earlier step left there
                outputs[0][...] = np.nan
            outputs = run(
                name, arrays, dtype, units_major=units_major, outputs=outputs, **options, **sample.attrs
            )
            check(name, outputs, (number * np.asarray(once), *rest), dtype, f"{sample.name!r}, {options}")


def test_sums_over_rows_are_the_gradients_of_parameters():
    assert {"dense_dw", "dense_db", "embedding_grad", "prelu_dalpha", "layer_norm_dgamma"} <= set(
        SUMS_OVER_ROWS
    )


@each_dtype
@pytest.mark.parametrize("units_major", [False, True])
@pytest.mark.parametrize("activation", sorted(ELEMENTWISE))
def test_a_fused_activation_is_the_op_after_dense(activation, units_major, dtype):
    rng = np.random.default_rng(5)
    attrs = registry.get(activation).attrs
    for rows, inputs, units in ((33, 5, 3), (7, 9, 1), (1, 1, 1), (0, 3, 2)):
        full = (
            rng.standard_normal((rows, inputs)),
            rng.standard_normal((inputs, units)),
            rng.standard_normal(units),
        )
        for arrays in (full, full[:2]):
            arrays = cast(arrays, dtype)
            (y,) = reference("dense", arrays, {})
            expected = reference(activation, [y], attrs)
            found = run(
                "dense", arrays, dtype, units_major=units_major, activation=activation, activation_attrs=attrs
            )
            check("dense", found, expected, dtype, f"{rows} x {inputs} x {units}, {len(arrays)} inputs")


# --------------------------------------------------------------------------- refusals
REFUSED = [np.float16, np.longdouble, np.complex64, np.complex128, object, "U3", "S3", "M8[s]", "V4"]


@each_op
def test_unusable_dtypes_are_refused(name):
    sample = samples(name)[0]
    for position, label in enumerate(names_of(name, sample.arrays)):
        wrong = [*REFUSED, np.float32, np.float64] if label in INTEGER_NAMES else REFUSED
        for dtype in wrong:
            arrays = list(sample.arrays)
            arrays[position] = np.zeros(arrays[position].shape, dtype)
            with pytest.raises(DtypeError, match=rf"'{name}'.*'{label}'.*Received: dtype"):
                getattr(ops, name)(*arrays, **sample.attrs)


@each_op
def test_wrong_counts_of_inputs_are_refused(name):
    record = registry.get(name)
    sample = max(samples(name), key=lambda s: len(s.arrays))
    required = len(record.inputs) - record.optional
    assert record.variadic or required == min(len(s.arrays) for s in samples(name))
    fewer = [sample.arrays[:count] for count in range(required)]
    more = [] if record.variadic else [(*sample.arrays, *sample.arrays[-1:] * (len(record.inputs)))]
    for arrays in (*fewer, *more):
        with pytest.raises(ArgumentError, match=f"'{name}' takes"):
            getattr(ops, name)(*arrays, **sample.attrs)
    with pytest.raises(ArgumentError, match=f"'{name}' has no attribute 'colour'"):
        getattr(ops, name)(*sample.arrays, **sample.attrs, colour="red")


@each_op
def test_unequal_rows_are_refused(name):
    sample = next(s for s in samples(name) if rows_of(name, s.arrays) > 1)
    with_rows = [i for i, spec in enumerate(specs_of(name, sample.arrays)) if spec.rows]
    for position in with_rows if len(with_rows) > 1 else ():
        arrays = list(sample.arrays)
        arrays[position] = arrays[position][:-1]
        with pytest.raises(ShapeError, match=f"op '{name}' must have equally many rows"):
            getattr(ops, name)(*arrays, **sample.attrs)


@pytest.mark.parametrize("name", WRITERS)
def test_ops_that_write_to_a_program_are_no_functions(name):
    arrays = [np.ones((2, 2))] * len(registry.get(name).inputs)
    with pytest.raises(ArgumentError, match=f"'{name}' writes to a program's memory"):
        getattr(ops, name)(*arrays)


@pytest.mark.parametrize("index", [[-1], [3], [2**31 - 1], [-(2**31)]])
def test_indices_outside_the_table_are_refused(index):
    with pytest.raises(DataError, match=r"'embedding' must lie in \[0, 3\)"):
        ops.embedding(index, np.ones((3, 2)))
    with pytest.raises(DataError, match=r"'embedding_grad' must lie in \[0, 3\)"):
        ops.embedding_grad(index, np.ones((1, 2)), size=3)


def test_tables_have_two_axes():
    with pytest.raises(ShapeError, match="table of shape"):
        ops.embedding([0, 1], np.ones(4))


@pytest.mark.parametrize("index", [[2**31], [-(2**31) - 1], [2**32]])
def test_indices_of_more_than_32_bits_are_refused(index):
    with pytest.raises(DataError, match="32-bit"):
        ops.embedding(np.array(index), np.ones((3, 2)))


def test_unknown_ops_name_the_nearest():
    with pytest.raises(AttributeError, match="Did you mean 'sigmoid'"):
        _ = ops.sigmoidd
