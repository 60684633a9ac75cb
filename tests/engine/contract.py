"""The laws of `Engine`, as tests for any engine: a subclass gives the fixture `engine`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foretoll.engine import Engine, Result
from foretoll.errors import UsageError

from . import work

FEW = 8  # beyond the workers, tasks that may be taken before they can run


def by_index(results: Iterator[Result[object, object]]) -> list[Result[object, object]]:
    found = sorted(results, key=lambda result: result.index)
    assert [result.index for result in found] == list(range(len(found)))  # each task exactly once
    return found


class EngineContract:
    """Laws that every engine obeys."""

    def test_each_task_gives_its_own_value(self, engine: Engine) -> None:
        tasks = [5, 3, 3, 0, -2, 9, 1]
        found = by_index(engine.run(work.square, tasks))
        assert [result.task for result in found] == tasks
        assert [result.value for result in found] == [task**2 for task in tasks]
        assert all(result.ok and result.error is None and result.attempts == 1 for result in found)
        assert all(result.duration_s >= 0 for result in found)

    def test_values_are_the_same_to_the_last_bit(self, engine: Engine) -> None:
        found = by_index(engine.run(work.noisy_mean, range(20)))
        assert [result.value for result in found] == [work.noisy_mean(seed) for seed in range(20)]

    def test_no_tasks_no_results(self, engine: Engine) -> None:
        assert list(engine.run(work.square, [])) == []

    def test_exceptions_are_data(self, engine: Engine) -> None:
        found = by_index(engine.run(work.fail_on_odd, range(6)))
        assert [result.value for result in found] == [0, None, 2, None, 4, None]
        assert found[3].error == "ValueError: 3 is odd"
        assert found[3].attempts == 1
        assert "fail_on_odd" in str(found[3].traceback)

    def test_errors_are_one_sentence(self, engine: Engine) -> None:
        found = by_index(engine.run(work.refuse, ["foretoll", "exit", "other"]))
        assert [result.error for result in found] == [
            "there are no rows: give more data",
            "SystemExit: 3",
            "RuntimeError",
        ]
        assert not any(result.ok for result in found)

    def test_none_is_a_value(self, engine: Engine) -> None:
        (result,) = engine.run(work.nothing, [1])
        assert result.ok
        assert result.value is None

    def test_tasks_are_consumed_lazily(self, engine: Engine) -> None:
        taken = 0

        def tasks() -> Iterator[int]:
            nonlocal taken
            while True:  # a grid without an end
                taken += 1
                yield taken

        results = engine.run(work.square, tasks())
        assert taken == 0
        for seen in range(1, 31):
            next(results)
            assert taken <= seen + getattr(engine, "workers", 1) + FEW
        results.close()

    def test_leaving_the_loop_leaves_the_engine_usable(self, engine: Engine) -> None:
        for result in engine.run(work.square, range(1000)):
            if result.ok:
                break
        assert [result.value for result in by_index(engine.run(work.square, [2, 3]))] == [4, 9]

    def test_an_error_of_the_tasks_comes_after_what_had_begun(self, engine: Engine) -> None:
        def tasks() -> Iterator[int]:
            yield from (1, 2)
            raise OSError("the grid's file is gone")

        values = []
        with pytest.raises(OSError, match="the grid's file is gone"):
            values.extend(result.value for result in engine.run(work.square, tasks()))
        # extend() keeps what came before the error
        assert sorted(v for v in values if v is not None) == [1, 4]

    def test_two_loops_at_once_are_refused(self, engine: Engine) -> None:
        first = engine.run(work.square, range(100))
        next(first)
        with pytest.raises(UsageError, match="already running"):
            next(engine.run(work.square, [1]))
        first.close()
        assert len(list(engine.run(work.square, [1]))) == 1

    def test_the_cache_lives_from_task_to_task(self, engine: Engine) -> None:
        counts = [result.value for result in engine.run(work.count_loads, range(12))]
        assert {loads for _, loads in counts} == {1}
        assert len({pid for pid, _ in counts}) <= getattr(engine, "workers", 1)

    def test_nothing_is_printed(self, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
        list(engine.run(work.fail_on_odd, range(4)))
        assert capfd.readouterr() == ("", "")


class SendingContract(EngineContract):
    """Laws of the engines that send tasks to other processes, which may die."""

    def test_a_killed_worker_costs_nothing_but_time(self, engine: Engine, tmp_path: str) -> None:
        tasks = [work.Marked(number, str(tmp_path)) for number in range(8)]
        found = by_index(engine.run(work.die_once, tasks))
        assert [result.value for result in found] == list(range(8))
        assert [result.attempts for result in found][3] == 2

    def test_a_task_that_always_kills_is_reported(
        self, engine: Engine, capfd: pytest.CaptureFixture[str]
    ) -> None:
        found = by_index(engine.run(work.die_always, range(4), label=lambda task: f"cell {task}"))
        assert [result.value for result in found] == [0, None, 2, 3]
        assert str(found[1].error).startswith("the worker of cell 1 ")
        assert "at each of 3 attempts" in str(found[1].error)
        assert found[1].attempts == 3
        assert capfd.readouterr() == ("", "")

    def test_what_cannot_be_sent_is_data(self, engine: Engine) -> None:
        bad = work.Unsendable()
        found = by_index(engine.run(work.square_of, [2, bad, 3]))
        assert [result.value for result in found] == [4, None, 9]
        assert found[1].error == "the bad one cannot be sent to another process: TypeError: stays here"
        (result,) = engine.run(work.unpicklable, [0])
        assert "pickle" in str(result.error)
        (result,) = engine.run(work.unrestorable, [0])
        assert str(result.error).startswith("the value could not be restored: ValueError")

    def test_many_tasks_that_cannot_be_sent(self, engine: Engine) -> None:
        found = by_index(engine.run(work.square_of, [work.Unsendable() for _ in range(30)]))
        assert len(found) == 30
        assert all(result.attempts == 0 for result in found)

    def test_large_tasks_and_values(self, engine: Engine) -> None:
        found = by_index(engine.run(work.reverse, [bytes([k]) * 3_000_000 for k in range(5)]))
        assert [len(result.value) for result in found] == [3_000_000] * 5  # type: ignore[arg-type]  # bytes
