"""A made-up run at published size: records as a GPU would leave them, for tests of claims."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from bench3r.api.method import METHODS
from bench3r.report.evidence import CostRow, Evidence, RunEvidence
from bench3r.run.config import RunConfig
from bench3r.stages.collect import COLUMNS

H20 = "NVIDIA H20"
A100 = "NVIDIA A100-SXM4-80GB"
SCANNET = {"scannet": {"root": "/data/scannet"}}

Values = dict[str, float | list[float]]  # by "protocol/metric", of all scenes or scene by scene


def options_of(method: str, **changed: object) -> str:
    """The options of ``method`` as records have them."""
    return json.dumps(METHODS.get(method)().options.model_dump(mode="json") | changed)


class PublishedRun:
    """What is planted, and the evidence that it makes."""

    def __init__(self, **config: object) -> None:
        usual = {
            "name": "planted",
            "scale": "full",
            "precision": "bf16",
            "base": "weights.safetensors",
            "methods": {"vggt": {}},
            "datasets": {},
        }
        self.config = RunConfig.model_validate({**usual, **config})
        self.rows: list[dict[str, object]] = []
        self.costs: list[CostRow] = []
        self.largest: list[CostRow] = []
        self.trainings: list[dict[str, object]] = []
        self.facts: list[dict[str, object]] = []
        self.cells: list[SimpleNamespace] = []

    def scores(
        self,
        method: str,
        backbone: str,
        dataset: str,
        frames: int,
        values: Values,
        scenes: int = 100,
        procedural: bool = False,
        spread: float = 0.0,
        trained: str | None = None,
        **options: object,
    ) -> PublishedRun:
        """Plant the same ``values`` in every scene, or spread evenly around them.

        A list of values has those of the scenes.
        """
        own = {
            "cell": f"{method}.{backbone}.{dataset}.{frames}.{options}.{trained}",
            "method": method,
            "label": METHODS.get(method).label,
            "kind": METHODS.get(method).kind,
            "options": options_of(method, **options),
            "backbone": backbone,
            "scale": self.config.scale,
            "dataset": dataset,
            "procedural": procedural,
            "frames": frames,
            "seed": 0,
            "status": "ok",
            "reason": "",
            "device": "NVIDIA H100 80GB HBM3",
        }
        for key, value in values.items():
            protocol, metric = key.split("/")
            each = value if isinstance(value, list) else [value] * scenes
            for i, middle in enumerate(each):
                shift = spread * (i - (scenes - 1) / 2) / max(1, scenes - 1)
                one = {"protocol": protocol, "metric": metric, "scene": f"s{i}"}
                self.rows.append({**own, **one, "value": middle + shift})
        parsed = json.loads(own["options"])
        cell = {"id": own["cell"], "method": method, "backbone": backbone, "options": parsed}
        self.cells.append(SimpleNamespace(**cell, trained=trained))
        return self

    def recorded(
        self,
        method: str,
        backbone: str,
        dataset: str,
        frames: int,
        facts: list[dict[str, object]],
        scene_type: str = "",
        **options: object,
    ) -> PublishedRun:
        """Plant what the method recorded in each scene, FLOPs among it."""
        own = {
            "cell": f"{method}.{backbone}.{dataset}.{frames}.{options}",
            "method": method,
            "label": METHODS.get(method).label,
            "kind": METHODS.get(method).kind,
            "options": options_of(method, **options),
            "backbone": backbone,
            "dataset": dataset,
            "frames": frames,
            "seed": 0,
            "scene_type": scene_type,
        }
        for i, fact in enumerate(facts):
            self.facts.append({**own, "scene": f"s{i}", **fact})
        return self

    def cost(
        self, method: str, backbone: str, frames: int, device: str, **values: object
    ) -> PublishedRun:
        """Plant a measured cost; options beside the defaults as ``options``."""
        given = values.pop("options", {})
        row = {"status": "ok", "scale": self.config.scale, **values}
        self.costs.append(
            CostRow.model_validate(
                {
                    "cell": f"{method}.{backbone}.{frames}",
                    "method": method,
                    "label": METHODS.get(method).label,
                    "backbone": backbone,
                    "options": options_of(method, **given),
                    "frames": frames,
                    "device": device,
                    **row,
                }
            )
        )
        return self

    def evidence(self) -> RunEvidence:
        """All that was planted, by frame count."""
        table = pd.DataFrame(self.rows, columns=COLUMNS)
        plan = SimpleNamespace(config=self.config, cells=self.cells, name="planted")
        found = []
        facts = pd.DataFrame(self.facts)
        for frames in table["frames"].unique() if len(table) else [0]:
            found.append(
                Evidence(
                    plan=plan,
                    table=table[table["frames"].eq(frames)],
                    costs=self.costs,
                    facts=facts[facts["frames"].eq(frames)] if len(facts) else facts,
                    trainings=pd.DataFrame(self.trainings),
                    frames=int(frames),
                )
            )
        return RunEvidence(plan, table, found, self.largest, Path())
