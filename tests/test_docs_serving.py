"""The deployment files are what systemd, KubeRay and the service read."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from envs.observation import ROLES
from envs.paths import ROOT
from envs.scenario import load_scenario
from serving.brief import FlightBrief

FOLDER = ROOT / "configs" / "serving"
DOCUMENT = (ROOT / "docs" / "serving.md").read_text()


def test_the_systemd_unit_starts_a_service() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(FOLDER / "interlude.service")
    assert set(unit) >= {"Unit", "Service", "Install"}
    command = shlex.split(unit["Service"]["ExecStart"])
    assert command[0].startswith("/") and command[1] == "serve" and "--local" in command
    assert unit["Service"]["Restart"] == "always" and unit["Service"]["User"] != "root"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    for option in command:
        assert (
            not option.startswith("--")
            or option == "--host"
            or option in DOCUMENT
            or option in ("--port", "--flight")
        )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    unit = (FOLDER / "interlude.service").read_text()
    here = unit.replace("/opt/interlude/.venv/bin/interlude", shutil.which("true") or "")
    for mine, spoilt in ((here, False), (here.replace("ProtectHome", "ProtctHome"), True)):
        path = tmp_path / "interlude.service"
        path.write_text(re.sub("(User|Group)=interlude", r"\1=root", mine))
        found = subprocess.run(
            ["systemd-analyze", "verify", path], capture_output=True, text=True, check=False
        )
        assert bool(found.returncode or "interlude.service:" in found.stderr) == spoilt, found.stderr


def test_the_kuberay_manifest_s_application_is_what_ray_serve_takes() -> None:
    pytest.importorskip("fastapi", reason="the serving extra is not installed")
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    told = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())["spec"]["serveConfigV2"]
    assert ServeDeploySchema.model_validate(yaml.safe_load(told)).applications[0].name == "interlude"
    with pytest.raises(ValidationError):
        ServeDeploySchema.model_validate(yaml.safe_load(told.replace("num_replicas: 1", "num_replicas: x")))


def test_the_kuberay_manifest_has_a_deployment_a_role() -> None:
    (service,) = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("ray.io/v1", "RayService")
    assert service["metadata"]["name"] == "interlude"
    serve = yaml.safe_load(service["spec"]["serveConfigV2"])
    (application,) = serve["applications"]
    assert {one["name"] for one in application["deployments"]} == {*ROLES, "front"}
    assert application["import_path"] == "serving.ray_app:example"
    cluster = service["spec"]["rayClusterConfig"]
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f"ray[serve]=={cluster['rayVersion']}" in pyproject
    pod = cluster["headGroupSpec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {
        "/" + application["args"][name].split("/")[1] for name in ("bundle", "ledger", "flight")
    } == mounted
    assert {volume["name"] for volume in pod["volumes"]} == {m["name"] for m in container["volumeMounts"]}
    assert container["ports"][0]["containerPort"] == serve["http_options"]["port"]


def test_the_example_flight_is_one() -> None:
    flight = FlightBrief.model_validate_json((FOLDER / "flight.json").read_bytes())
    scenario = flight.scenario(load_scenario("default"))
    assert scenario.campaigns == len(flight.campaigns) == 2


def test_every_endpoint_is_described() -> None:
    source = (ROOT / "serving" / "app.py").read_text()
    paths = {
        line.split('"')[1] for line in source.splitlines() if line.strip().startswith(('get("/', 'post("/'))
    }
    assert len(paths) > 12
    for path in paths:
        shown = path.replace("{name}", "NAME").split("/ready")[0] if path.startswith("/v2") else path
        assert shown in DOCUMENT or path in ("/v2", "/v2/health/live", "/v2/health/ready"), path
