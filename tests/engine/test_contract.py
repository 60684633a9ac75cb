"""The laws of engines, for those that need nothing but this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foretoll.engine import Engine, InProcess, LocalProcesses

from .contract import EngineContract, SendingContract


@pytest.fixture(scope="module")
def one_process() -> Iterator[Engine]:
    with LocalProcesses(1) as engine:
        yield engine


@pytest.fixture(scope="module")
def four_processes() -> Iterator[Engine]:
    with LocalProcesses(4) as engine:
        yield engine


class TestInProcess(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return InProcess()


class TestOneProcess(SendingContract):
    @pytest.fixture
    def engine(self, one_process: Engine) -> Engine:
        return one_process


class TestFourProcesses(SendingContract):
    @pytest.fixture
    def engine(self, four_processes: Engine) -> Engine:
        return four_processes
