"""Generation of units compared with a simple oracle, for every order in which a sampler may finish."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.errors import GenerationError
from linesmith.model.generation.attempts import AttemptSettings
from linesmith.model.generation.unit_generator import generate_unit, generate_units
from linesmith.model.generation.work_units import StartString, WorkUnit, WorkUnitResult, plan_work_units
from linesmith.model.sampling.sampler import DrawSettings, Sample, SampleRequest
from linesmith.records.fields import FieldFormat
from linesmith.records.validation.record_validator import RecordValidator
from tests.helpers.generation_fakes import FakeSampler, three_fields, uniform

JUDGE = RecordValidator(field_count=3, fields=FieldFormat(","))


def oracle(unit: WorkUnit, rules: AttemptSettings, bad_share: float) -> tuple[list, list, Counter, str | None]:
    """Generate one index and one attempt after the other, without the rule on the valid rate."""
    valid, invalid = [], []
    for index in range(unit.start, unit.end):
        for attempt in range(rules.max_attempts):
            request = SampleRequest(index, attempt, unit.start_string_of(index).ids)
            sample = three_fields(rules.draw_settings.seed, request, bad_share)
            verdict = JUDGE(sample)
            if verdict.reason is None:
                valid.append((index, attempt, sample.text))
                break
            invalid.append((index, attempt, verdict.reason))
            if rules.max_invalid is not None and len(invalid) > rules.max_invalid:
                return valid, invalid, Counter(reason for *_, reason in invalid), "max_invalid"
    return valid, invalid, Counter(reason for *_, reason in invalid), None


def visible(result: WorkUnitResult) -> tuple:
    """Return the part of a result that must be reproducible."""
    return result.valid, result.invalid, result.missing, result.reasons, result.stopped, result.attempts


@pytest.mark.integration
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 5),
    start=st.integers(0, 50),
    size=st.integers(0, 30),
    bad_share=st.sampled_from([0.0, 0.2, 0.6, 0.95, 1.0]),
    max_attempts=st.integers(1, 25),
    max_invalid=st.none() | st.integers(0, 60),
    keep=st.none() | st.integers(0, 40),
    rows=st.integers(1, 40),
    shuffle=st.integers(0, 1000),
)
def test_a_unit_equals_the_oracle(seed, start, size, bad_share, max_attempts, max_invalid, keep, rows, shuffle) -> None:
    unit = WorkUnit(0, start, start + size)
    rules = AttemptSettings(DrawSettings(seed), max_attempts=max_attempts, max_invalid=max_invalid, keep_invalid=keep)
    sampler = FakeSampler(lambda s, r: three_fields(s, r, bad_share), rows=rows, shuffle=shuffle)
    result = generate_unit(sampler, unit, rules, JUDGE)
    valid, invalid, reasons, stopped = oracle(unit, rules, bad_share)
    assert [(o.index, o.attempt, o.text) for o in result.valid] == valid
    assert [(o.index, o.attempt, o.reason) for o in result.invalid] == invalid[:keep]
    assert result.reasons == reasons
    assert result.stopped == stopped
    assert result.missing == sorted(set(range(start, start + size)) - {index for index, *_ in valid})
    assert result.attempts == len(valid) + len(invalid)


@pytest.mark.integration
@pytest.mark.parametrize("bad_share", [0.0, 0.5, 0.9995, 1.0])
def test_the_rate_rule_counts_in_canonical_order(bad_share: float) -> None:
    unit = WorkUnit(0, 0, 3000)
    rules = AttemptSettings(min_valid_rate=0.001, keep_invalid=50)
    answer = lambda s, r: three_fields(s, r, bad_share)  # noqa: E731
    results = [
        generate_unit(FakeSampler(answer, rows=rows, shuffle=shuffle), unit, rules, JUDGE)
        for rows, shuffle in [(1, 0), (64, 3), (2000, 4)]
    ]
    assert visible(results[0]) == visible(results[1]) == visible(results[2])
    hopeless = bad_share > 0.99
    assert results[0].stopped == ("rate" if hopeless else None)
    if hopeless:
        assert 10_000 <= results[0].attempts < 60_000
    else:
        assert len(results[0].valid) == 3000


def test_the_rate_is_computed_from_the_last_attempts() -> None:
    def answer(seed: int, request: SampleRequest) -> Sample:
        good = request.index < 900 and request.attempt == 0  # of 3,000: enough for any rate over all attempts so far
        return Sample(request, "a,b,c" if good else "a", "newline")

    result = generate_unit(
        FakeSampler(answer, rows=64), WorkUnit(0, 0, 3000), AttemptSettings(min_valid_rate=0.01), JUDGE
    )
    assert (result.stopped, len(result.valid)) == ("rate", 900)
    assert 10_000 < result.attempts < 10_000 + 1000  # the last valid ones have just left the window


def test_a_few_impossible_records_are_a_shortfall_and_do_not_end_the_run() -> None:
    def answer(seed: int, request: SampleRequest) -> Sample:
        return Sample(request, "a" if request.index % 100 == 7 else "a,b,c", "newline")

    result = generate_unit(FakeSampler(answer, rows=64), WorkUnit(0, 0, 3000), AttemptSettings(), JUDGE)
    assert (result.stopped, len(result.missing), result.attempts) == (None, 30, 2970 + 30 * 1000)


def test_a_rate_of_zero_never_stops_before_the_attempts_are_used_up() -> None:
    rules = AttemptSettings(min_valid_rate=0.0, max_attempts=30)
    result = generate_unit(FakeSampler(lambda s, r: three_fields(s, r, 1.0)), WorkUnit(0, 0, 500), rules, JUDGE)
    assert (result.stopped, result.attempts, len(result.missing)) == (None, 15_000, 500)


def test_text_does_not_depend_on_the_unit_size() -> None:
    def texts(unit_size: int) -> list[str]:
        units = plan_work_units(100, unit_size)
        return [
            o.text
            for u in units
            for o in generate_unit(FakeSampler(), u, AttemptSettings(DrawSettings(3)), JUDGE).valid
        ]

    assert texts(100) == texts(7) == texts(1)
    assert len(texts(7)) == 100


def test_seeds_differ() -> None:
    texts = [
        [
            o.text
            for o in generate_unit(FakeSampler(), WorkUnit(0, 0, 20), AttemptSettings(DrawSettings(s)), JUDGE).valid
        ]
        for s in (0, 1)
    ]
    assert texts[0] != texts[1]


def test_start_strings_are_used_at_their_index() -> None:
    starts = tuple(StartString(f"{n},", tuple(map(ord, f"{n},"))) for n in range(70, 80))
    units = plan_work_units(10, 4, starts, start_string_per_record=True)
    assert [len(unit.start_strings) for unit in units] == [4, 4, 2]
    for unit in units:
        for outcome in generate_unit(FakeSampler(shuffle=5), unit, AttemptSettings(), JUDGE).valid:
            assert outcome.text.startswith(starts[outcome.index].text)
    common = plan_work_units(10, 4, starts[:1])
    assert all(unit.start_string_of(unit.end - 1) == starts[0] for unit in common)


def test_failing_indices_are_retried_ahead_within_a_limit() -> None:
    def answer(seed: int, request: SampleRequest) -> Sample:
        good = request.index != 3 or request.attempt == 200
        return Sample(request, "a,b,c" if good else "a", "newline")

    sampler = FakeSampler(answer, rows=64)
    result = generate_unit(sampler, WorkUnit(0, 0, 10), AttemptSettings(), JUDGE)
    assert result.attempts == 210
    assert sampler.answered <= 1.5 * 210 + 64


def test_a_sampler_that_stops_early_is_an_error_not_a_shortfall() -> None:
    class Lazy(FakeSampler):
        def batches(self, requests, settings):
            yield [three_fields(0, requests.popleft(), 0.0)]

    with pytest.raises(GenerationError, match="records 0 to 4"):
        generate_unit(Lazy(), WorkUnit(0, 0, 5), AttemptSettings(), JUDGE)


def test_the_stream_is_closed_when_a_unit_stops() -> None:
    closed = []

    class Watched(FakeSampler):
        def batches(self, requests, settings):
            try:
                yield from super().batches(requests, settings)
            finally:
                closed.append(True)

    generate_unit(
        Watched(lambda s, r: three_fields(s, r, 1.0)), WorkUnit(0, 0, 100), AttemptSettings(max_invalid=0), JUDGE
    )
    assert closed == [True]


def test_an_empty_unit_makes_no_requests() -> None:
    sampler = FakeSampler()
    result = generate_unit(sampler, WorkUnit(0, 5, 5), AttemptSettings(), JUDGE)
    assert (result.valid, result.missing, result.stopped, sampler.answered) == ([], [], None, 0)


def test_uniform_is_a_function_of_identity() -> None:
    assert uniform(1, 2) == uniform(1, 2) != uniform(2, 1)


@pytest.mark.parametrize(("rows", "shuffle", "bad_share"), [(16, 0, 0.3), (200, 7, 0.6), (3, 1, 0.9)])
def test_units_in_parallel_equal_single_units(rows: int, shuffle: int, bad_share: float) -> None:
    units = plan_work_units(700, 100)
    rules = AttemptSettings(DrawSettings(4), max_attempts=5)
    sampler = FakeSampler(lambda s, r: three_fields(s, r, bad_share), rows=rows, shuffle=shuffle)
    together = {result.unit.number: visible(result) for result in generate_units(sampler, units, rules, JUDGE)}
    assert together == {
        unit.number: visible(generate_unit(FakeSampler(lambda s, r: three_fields(s, r, bad_share)), unit, rules, JUDGE))
        for unit in units
    }


def test_units_after_a_stopped_one_are_abandoned_and_those_before_it_are_not() -> None:
    def answer(seed: int, request: SampleRequest) -> Sample:
        return Sample(request, "a,b,c" if request.index < 250 else "a", "newline")

    rules = AttemptSettings(max_attempts=1000, max_invalid=50)
    results = list(generate_units(FakeSampler(answer, rows=64), plan_work_units(1000, 100), rules, JUDGE))
    assert sorted(result.unit.number for result in results if result.stopped is None)[:2] == [0, 1]
    assert {result.unit.number: result.stopped for result in results}[2] == "max_invalid"


def test_an_empty_unit_among_others_has_its_result() -> None:
    results = list(generate_units(FakeSampler(), [WorkUnit(0, 0, 0), WorkUnit(1, 0, 5)], AttemptSettings(), JUDGE))
    assert sorted(result.unit.number for result in results) == [0, 1]


def test_progress_is_reported_about_once_per_second() -> None:
    reports: list[tuple[int, int]] = []
    seconds = itertools.count(step=0.01)
    clock = lambda: next(seconds)  # noqa: E731
    list(
        generate_units(
            FakeSampler(), [WorkUnit(0, 0, 2000)], AttemptSettings(), JUDGE, clock, lambda *n: reports.append(n)
        )
    )
    attempts = [attempts for _, attempts in reports]
    # Each iteration reads the clock once, and twice when it reports.
    assert attempts == sorted(attempts) and 20 < len(reports) < 40
    assert all(0 < records < attempts for records, attempts in reports)
