"""What foretoll writes down: frozen, validated records, JSON in and out. Units are in the field's name.

A missing measurement is None, never 0 and never NaN.
"""

from foretoll.records.base import SHARES, NonNegative, PresentedRecord, QualityScale, Record, Share
from foretoll.records.comparison import Candidate, Comparison, Recommendation
from foretoll.records.curve import BudgetForecast, CurveKnee, ForecastCurve, SamplesForecast, TargetForecast
from foretoll.records.data import DataCard, InputPart, Shift, TableColumn, TableLayout
from foretoll.records.estimate import (
    Basis,
    Coverage,
    Estimate,
    IndexValue,
    NearRun,
    Projection,
    SelfCost,
    StepProbe,
)
from foretoll.records.forecast import Forecast, Interval, LiveForecast, MadeForecast, Money
from foretoll.records.hardware import Device, HardwareForecast, MeasuredDevice, ModelSize
from foretoll.records.life import (
    Continual,
    Decision,
    EarlierQuality,
    LifeCard,
    LifeEvent,
    Looking,
    Offer,
    ServedBatch,
)
from foretoll.records.measured import (
    TOLL_COSTS,
    EnergyBasis,
    EnergyComponent,
    EvalPoint,
    GradientNorm,
    GridIntensity,
    Hardware,
    InferenceCost,
    PhaseCost,
    Quality,
    Toll,
)
from foretoll.records.model import ModelCard, Preprocessing, ProgramCard, Spectrogram
from foretoll.records.payback import Payback
from foretoll.records.pilot import PilotRecord, PilotStage
from foretoll.records.plan import LifePlan, Schedule
from foretoll.records.run import Outcome, Run
from foretoll.records.served_metric import ANSWERS, ServedMetric
from foretoll.records.settings import TrainingSettings

__all__ = [
    "ANSWERS",
    "SHARES",
    "TOLL_COSTS",
    "Basis",
    "BudgetForecast",
    "Candidate",
    "Comparison",
    "Continual",
    "Coverage",
    "CurveKnee",
    "DataCard",
    "Decision",
    "Device",
    "EarlierQuality",
    "EnergyBasis",
    "EnergyComponent",
    "Estimate",
    "EvalPoint",
    "Forecast",
    "ForecastCurve",
    "GradientNorm",
    "GridIntensity",
    "Hardware",
    "HardwareForecast",
    "IndexValue",
    "InferenceCost",
    "InputPart",
    "Interval",
    "LifeCard",
    "LifeEvent",
    "LifePlan",
    "LiveForecast",
    "Looking",
    "MadeForecast",
    "MeasuredDevice",
    "ModelCard",
    "ModelSize",
    "Money",
    "NearRun",
    "NonNegative",
    "Offer",
    "Outcome",
    "Payback",
    "PhaseCost",
    "PilotRecord",
    "PilotStage",
    "Preprocessing",
    "PresentedRecord",
    "ProgramCard",
    "Projection",
    "Quality",
    "QualityScale",
    "Recommendation",
    "Record",
    "Run",
    "SamplesForecast",
    "Schedule",
    "SelfCost",
    "ServedBatch",
    "ServedMetric",
    "Share",
    "Shift",
    "Spectrogram",
    "StepProbe",
    "TableColumn",
    "TableLayout",
    "TargetForecast",
    "Toll",
    "TrainingSettings",
]
