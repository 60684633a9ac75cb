"""How a tracked run ended, and what was recorded of it."""

from __future__ import annotations

from foretoll.errors import is_out_of_memory, one_line
from foretoll.interruption import why_stopped
from foretoll.records import Outcome
from foretoll.training import Recorder, Recording


def end(recorder: Recorder, error: BaseException | None, hopeless: str = "") -> None:
    """Tell the recorder how its loop ended; `error`: what ended it from within; `hopeless`: why it was given up."""
    goal = recorder.stop.goal
    if error is not None:
        recorder.end(*outcome_of(error))
    elif not recorder.over:
        if goal is None:
            recorder.end(Outcome.REACHED)
        elif hopeless:
            recorder.end(Outcome.GIVEN_UP, hopeless)
        else:
            recorder.end(Outcome.CENSORED, f"the loop ended before a quality of {goal:g} was reached")


def finished(recorder: Recorder, steps_per_epoch: int | None) -> Recording:
    """What was recorded; weights that are no numbers any more are a failure."""
    recorder.result.steps_per_epoch = steps_per_epoch
    recording = recorder.finish()
    over = recording.outcome.complete
    if over and recorder.parameters and recording.parameter_change is None:
        recorder.end(Outcome.FAILED, "the weights became infinite or not a number")
    return recording


def outcome_of(error: BaseException) -> tuple[Outcome, str]:
    """How a run ended that an exception ended."""
    if isinstance(error, KeyboardInterrupt):
        return Outcome.INTERRUPTED, why_stopped(error)
    if isinstance(error, SystemExit | GeneratorExit):
        return Outcome.INTERRUPTED, "the process was asked to end"
    if is_out_of_memory(error):
        return Outcome.FAILED, "out of memory: try smaller batches"
    return Outcome.FAILED, one_line(f"{type(error).__name__}: {error}", 300)
